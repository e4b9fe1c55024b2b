//! The embedded migrations.

use std::collections::HashSet;

use diesel::connection::SimpleConnection as _;
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::error::{Error, Result};
use crate::storage::connect::{self, Connector};
use crate::storage::pooler;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Runs the pending migrations and returns their names. An advisory lock serialises instances that start together. If
/// nothing is pending, the user only needs read permission.
///
/// # Errors
/// [`Error::Configuration`] if the user may not change the schema, or if `url` connects through a pooler in transaction
/// mode, which would leave the migration lock to another client; [`Error::Unavailable`] if the database is unreachable;
/// [`Error::Internal`] if a migration fails. A failed migration is rolled back; the ones before it stay applied.
pub async fn run_pending(url: &str) -> Result<Vec<String>> {
    let mut connection = connect::connect(url).await?;
    if is_up_to_date(&mut connection).await {
        return Ok(Vec::new());
    }
    pooler::expect_sessions(&Connector::new(url)?).await?;
    check_may_migrate(&mut connection).await?;
    drop(connection);
    with_harness(url, |connection| {
        let ran = connection.run_pending_migrations(MIGRATIONS).map_err(Error::internal)?;
        let names = ran.iter().map(ToString::to_string).collect();
        connection.batch_execute("SELECT lock_append_only_tables()")?;
        Ok(names)
    })
    .await
}

/// Fails early if the user cannot run the pending migrations, instead of in the middle of a statement.
async fn check_may_migrate(connection: &mut AsyncPgConnection) -> Result<()> {
    #[derive(diesel::QueryableByName)]
    struct MigrationRights {
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
        #[diesel(sql_type = diesel::sql_types::Bool)]
        may_migrate: bool,
    }
    let query = diesel::sql_query(
        "SELECT current_user::text AS name, has_schema_privilege('public', 'CREATE') AND coalesce( \
         (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('public.__diesel_schema_migrations')), \
         true) AS may_migrate",
    );
    let MigrationRights { name, may_migrate } = query.get_result(connection).await?;
    if may_migrate {
        return Ok(());
    }
    Err(Error::configuration(format_args!(
        "migrations are pending, and the database user {name:?} does not own the schema: run `aval migrate` with \
         DATABASE_URL set to the owner's URL first, or set DATABASE_MIGRATION_URL to it (docs/database-roles.md)"
    )))
}

/// Whether all migrations have run; false if that cannot be determined.
async fn is_up_to_date(connection: &mut AsyncPgConnection) -> bool {
    #[derive(diesel::QueryableByName)]
    struct Applied {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
    }
    let Ok(known) = MigrationSource::<Pg>::migrations(&MIGRATIONS) else { return false };
    let query = diesel::sql_query("SELECT version::text AS version FROM __diesel_schema_migrations");
    let Ok(applied) = query.load::<Applied>(connection).await else { return false };
    let applied: HashSet<String> = applied.into_iter().map(|row| row.version).collect();
    known.iter().all(|migration| applied.contains(&migration.name().version().to_string()))
}

/// Reverts all migrations, newest first. For tests of reversibility.
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
    let connection = connect::connect(url).await?;
    tokio::task::spawn_blocking(move || {
        let mut connection = SyncConnection::from(connection);
        lock(&mut connection)?;
        work(&mut connection)
    })
    .await
    .map_err(Error::internal)?
}

/// The lock is released when the connection closes.
fn lock(connection: &mut SyncConnection) -> Result<()> {
    Ok(connection.batch_execute("SELECT pg_advisory_lock(hashtext('aval.migrations'))")?)
}
