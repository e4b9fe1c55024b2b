//! The embedded migrations.

use diesel::Connection as _;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::error::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Brings the schema up to date; returns the names of the migrations that ran. Instances that start together take
/// turns, by an advisory lock.
///
/// # Errors
/// [`Error::Unavailable`] when the database cannot be reached, [`Error::Internal`] when a migration fails: it is rolled
/// back, the ones before it stay.
pub async fn run_pending(url: &str) -> Result<Vec<String>> {
    with_harness(url, |connection| {
        let ran = connection.run_pending_migrations(MIGRATIONS).map_err(Error::internal)?;
        Ok(ran.iter().map(ToString::to_string).collect())
    })
    .await
}

/// Takes every migration back, newest first. For tests of reversibility.
///
/// # Errors
/// As [`run_pending`].
pub async fn revert_all(url: &str) -> Result<usize> {
    with_harness(url, |connection| {
        Ok(connection.revert_all_migrations(MIGRATIONS).map_err(Error::internal)?.len())
    })
    .await
}

type SyncConnection = AsyncConnectionWrapper<AsyncPgConnection>;

async fn with_harness<R: Send + 'static>(
    url: &str,
    work: impl FnOnce(&mut SyncConnection) -> Result<R> + Send + 'static,
) -> Result<R> {
    let url = url.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut connection =
            SyncConnection::establish(&url).map_err(|error| Error::unavailable("database", error))?;
        lock(&mut connection)?;
        work(&mut connection)
    })
    .await
    .map_err(Error::internal)?
}

/// The lock goes with the connection.
fn lock(connection: &mut SyncConnection) -> Result<()> {
    use diesel::connection::SimpleConnection as _;
    Ok(connection.batch_execute("SELECT pg_advisory_lock(hashtext('aval.migrations'))")?)
}
