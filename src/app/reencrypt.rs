//! Re-encryption by an operator's command (see [`crate::storage::reencrypt`]).

use std::sync::Arc;

use slog::Logger;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, PublicMessage, Result};
use crate::startup::StartedDatabase;
use crate::storage::archive;
use crate::storage::reencrypt::{self, pass};
use crate::storage::seal::KeyRing;
use crate::storage::{Connection, Database};

/// The maximum number of passes. If rows still remain, another instance seals with another key as fast as this one
/// reseals.
const MAX_PASSES: usize = 20;

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The number of rows to reseal.
    Found(u64),
    /// The number of rows resealed since the last report.
    Resealed(u64),
}

/// Finds all values that are sealed with another key and seals them with the active key, `batch` rows at a time. Returns the
/// number of resealed rows.
///
/// # Errors
/// [`Error::Conflict`] if rows remain, because they cannot be opened, another instance still seals with another key, or their
/// months are archived; an error if the database or the configuration fails.
pub async fn reencrypt(
    mut settings: Settings,
    batch: i64,
    clock: &Clock,
    logger: &Logger,
    on_progress: impl FnMut(Progress),
) -> Result<u64> {
    // Counting reads whole tables.
    settings.database.statement_timeout_ms = 0;
    let keys = Arc::new(KeyRing::of(&settings.complete_secrets(clock)?)?);
    let started = StartedDatabase::start(&settings, logger, &CancellationToken::new()).await?;
    let run = async {
        let database = Database::connect(started.url(), &settings.database, keys, None).await?;
        reseal_all(&database, batch, logger, on_progress).await
    };
    let resealed = run.await;
    started.stop().await?;
    resealed
}

async fn reseal_all(
    database: &Database,
    batch: i64,
    logger: &Logger,
    mut on_progress: impl FnMut(Progress),
) -> Result<u64> {
    let mut remaining = count_remaining(database).await?;
    on_progress(Progress::Found(remaining));
    let (mut resealed, mut unreadable) = (0, 0);
    for _ in 0..MAX_PASSES {
        if remaining == 0 {
            return check_archive(database).await.map(|()| resealed);
        }
        let done = pass(database, logger, batch, |rows| on_progress(Progress::Resealed(rows))).await?;
        resealed += done.resealed;
        unreadable = done.unreadable;
        remaining = count_remaining(database).await?;
        if done.resealed == 0 && remaining == unreadable {
            break;
        }
    }
    Err(Error::Conflict(PublicMessage::new(format!(
        "{remaining} rows are not sealed by the active key: {unreadable} could not be opened (see the log), and the \
         others were written by an instance that seals with another key"
    ))))
}

/// Fails if archived data is sealed with another key. The archive is read-only, so its data still requires the old keys.
async fn check_archive(database: &Database) -> Result<()> {
    let mut connection: Connection<'_> = database.get().await?;
    let found = archive::sealed_by_other_keys(&mut connection, database.keys()).await?;
    if found.is_empty() {
        return Ok(());
    }
    let rows: u64 = found.iter().map(|(_, rows)| rows).sum();
    let months: Vec<&str> = found.iter().map(|(month, _)| month.as_str()).collect();
    Err(Error::Conflict(PublicMessage::new(format!(
        "all live data is sealed by the active key, but {rows} archived applications are not ({}). Keep the \
         other keys while these months are archived, or restore the months (aval archive attach), run this command \
         again, and archive them again",
        months.join(", ")
    ))))
}

async fn count_remaining(database: &Database) -> Result<u64> {
    let mut connection: Connection<'_> = database.get().await?;
    reencrypt::count_remaining(&mut connection, database.keys()).await
}
