//! `aval migrate`: the schema, without serving.

use slog::{Logger, info};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;
use crate::startup::{self, StartedDatabase};

/// Brings the schema up to date and makes the partitions ahead.
///
/// # Errors
/// When the database cannot be reached or a migration fails.
pub async fn run(settings: Settings, clock: Clock, logger: Logger) -> Result<()> {
    let database = StartedDatabase::start(&settings, &logger, &CancellationToken::new()).await?;
    let prepared = startup::prepare(&settings, &database, clock.now(), &logger).await;
    database.stop().await?;
    prepared?;
    info!(logger, "the schema is up to date");
    Ok(())
}
