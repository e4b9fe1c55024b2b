//! Operators' commands on the schema: listing the migrations, and reverting the last ones.

use slog::Logger;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::error::{Error, PublicMessage, Result};
use crate::startup::StartedDatabase;
pub use crate::storage::migrations::MigrationState;
use crate::storage::migrations::{revert, states};

/// Every migration, in the order of their names. Starts the private PostgreSQL if it is used and not running.
pub async fn list(settings: &Settings, logger: &Logger) -> Result<Vec<MigrationState>> {
    let database = StartedDatabase::find_or_start(settings, logger).await?;
    let listed = states(database.url()).await;
    database.stop().await?;
    listed
}

/// Reverts the last `count` migrations and returns their versions, newest first. Unless `is_confirmed`, nothing changes.
///
/// # Errors
/// [`Error::Conflict`] without confirmation, if a newer version of Aval has applied a migration, or if fewer than `count`
/// migrations have run; [`Error::Configuration`] if a running Aval uses the private PostgreSQL.
pub async fn revert_last(
    settings: &Settings,
    count: u16,
    is_confirmed: bool,
    logger: &Logger,
) -> Result<Vec<String>> {
    let database = StartedDatabase::start(settings, logger, &CancellationToken::new()).await?;
    let reverted = revert_in(&database.schema_url(settings), count, is_confirmed).await;
    database.stop().await?;
    reverted
}

async fn revert_in(url: &str, count: u16, is_confirmed: bool) -> Result<Vec<String>> {
    let all = states(url).await?;
    if let Some(newer) = all.iter().find(|state| !state.known) {
        return Err(conflict(format!(
            "a newer version of Aval has applied the migration {}: revert with that version",
            newer.name
        )));
    }
    let applied: Vec<&str> = all
        .iter()
        .rev()
        .filter(|state| state.applied_at.is_some())
        .map(|state| state.name.as_str())
        .collect();
    let Some(last) = applied.get(..usize::from(count)) else {
        return Err(conflict(format!("only {} migrations have run", applied.len())));
    };
    if !is_confirmed {
        return Err(conflict(format!(
            "this would revert {} and delete the data that only those migrations store. Stop every instance, make a \
             backup, and repeat with --yes",
            last.join(", ")
        )));
    }
    revert(url, count).await
}

fn conflict(text: String) -> Error {
    Error::Conflict(PublicMessage::new(text))
}
