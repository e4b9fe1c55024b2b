//! Disbursements for an operator's command: rebuilds the projection and audits pools and ledger.

use std::sync::Arc;

use slog::Logger;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;
use crate::lending::disburse::rebuild::{self, Comparison};
use crate::startup::StartedDatabase;
use crate::storage::Database;
use crate::storage::seal::KeyRing;

/// Compares every disbursement with its events and, with `restores`, replaces the rows that differ.
///
/// # Errors
/// If the events of a disbursement are not a valid history, or the database or the configuration fails.
pub async fn rebuild(
    settings: &Settings,
    restores: bool,
    clock: &Clock,
    logger: &Logger,
) -> Result<Comparison> {
    with_database(settings, clock, logger, async |database| {
        rebuild::rebuild(database, logger, restores).await
    })
    .await
}

/// The violated rules about pools, ledger and disbursements.
///
/// # Errors
/// If the database or the configuration fails.
pub async fn audit(settings: &Settings, clock: &Clock, logger: &Logger) -> Result<Vec<String>> {
    with_database(settings, clock, logger, async |database| rebuild::audit(database, logger).await).await
}

async fn with_database<T>(
    settings: &Settings,
    clock: &Clock,
    logger: &Logger,
    work: impl AsyncFn(&Database) -> Result<T>,
) -> Result<T> {
    let keys = Arc::new(KeyRing::of(&settings.complete_secrets(clock)?)?);
    let started = StartedDatabase::start(settings, logger, &CancellationToken::new()).await?;
    let run = async {
        let database = Database::connect(started.url(), &settings.database, keys, None).await?;
        work(&database).await
    };
    let result = run.await;
    started.stop().await?;
    result
}
