//! `aval migrate`: migrates the schema without starting the server.

use slog::{Logger, info};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;
use crate::startup::{self, StartedDatabase};

/// Migrates the schema and creates future partitions.
pub async fn run(settings: Settings, clock: Clock, logger: Logger) -> Result<()> {
    let database = StartedDatabase::start(&settings, &logger, &CancellationToken::new()).await?;
    let prepared = startup::prepare(&settings, &database, clock.now(), &logger).await;
    database.stop().await?;
    prepared?;
    info!(logger, "the schema is up to date");
    Ok(())
}
