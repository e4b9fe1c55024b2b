//! The embedded migrations.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::migration::{MigrationName, MigrationSource};
use diesel::pg::Pg;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::error::{Error, Result};
use crate::storage::connect::{self, Connector};
use crate::storage::pooler;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Runs the pending migrations and returns their names. An advisory lock serializes instances that start together. If
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

/// Fails before the first migration if the user may not run migrations.
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

/// The schema of a database, compared with the migrations of this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The version of the PostgreSQL server.
    pub server_version: String,
    /// The number of applied migrations. A newer version of Aval may have applied migrations that are unknown to this
    /// version.
    pub applied: usize,
    /// The number of migrations of this version that are not applied.
    pub pending: usize,
    /// The newest applied migration.
    pub newest: Option<String>,
}

/// Compares the applied migrations with the migrations of this version.
///
/// # Errors
/// [`Error::Internal`] if the embedded migrations cannot be read, or a database error.
pub async fn status(connection: &mut AsyncPgConnection) -> Result<SchemaStatus> {
    #[derive(diesel::QueryableByName)]
    struct Server {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
    }
    let query = diesel::sql_query("SELECT current_setting('server_version') AS version");
    let Server { version: server_version } = query.get_result(connection).await?;
    let applied = applied(connection).await?;
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(Error::internal)?;
    let is_pending = |name: &dyn MigrationName| !applied.contains_key(&name.version().to_string());
    let pending = known.iter().filter(|migration| is_pending(migration.name())).count();
    Ok(SchemaStatus {
        server_version,
        applied: applied.len(),
        pending,
        newest: applied.last_key_value().map(|(version, _)| version.clone()),
    })
}

/// Whether all migrations have run; false if that cannot be determined.
async fn is_up_to_date(connection: &mut AsyncPgConnection) -> bool {
    let Ok(known) = MigrationSource::<Pg>::migrations(&MIGRATIONS) else { return false };
    let Ok(applied) = applied(connection).await else { return false };
    known.iter().all(|migration| applied.contains_key(&migration.name().version().to_string()))
}

/// The versions of the applied migrations, and when they ran.
async fn applied(connection: &mut AsyncPgConnection) -> Result<BTreeMap<String, DateTime<Utc>>> {
    #[derive(diesel::QueryableByName)]
    struct Applied {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
        #[diesel(sql_type = diesel::sql_types::Timestamptz)]
        run_on: DateTime<Utc>,
    }
    let query = diesel::sql_query(
        "SELECT version::text AS version, run_on AT TIME ZONE 'UTC' AS run_on FROM __diesel_schema_migrations",
    );
    let applied = query.load::<Applied>(connection).await?;
    Ok(applied.into_iter().map(|row| (row.version, row.run_on)).collect())
}

/// A migration and whether it has run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MigrationState {
    /// The name of its folder; the version number if this version of Aval does not contain it.
    pub name: String,
    /// When it ran; `None` if it is pending.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub applied_at: Option<DateTime<Utc>>,
    /// Whether this version of Aval contains it.
    pub known: bool,
}

/// Every migration, in the order of their names.
///
/// # Errors
/// [`Error::Unavailable`] if the database is unreachable.
pub async fn states(url: &str) -> Result<Vec<MigrationState>> {
    let mut connection = connect::connect(url).await?;
    let exists = diesel::dsl::sql::<diesel::sql_types::Bool>(
        "to_regclass('public.__diesel_schema_migrations') IS NOT NULL",
    );
    let exists = diesel::select(exists).get_result::<bool>(&mut connection).await?;
    let mut applied = if exists { applied(&mut connection).await? } else { BTreeMap::new() };
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(Error::internal)?;
    let mut states: Vec<MigrationState> = known
        .iter()
        .map(|migration| MigrationState {
            name: migration.name().to_string(),
            applied_at: applied.remove(&migration.name().version().to_string()),
            known: true,
        })
        .collect();
    let unknown = |(name, run_on)| MigrationState { name, applied_at: Some(run_on), known: false };
    states.extend(applied.into_iter().map(unknown));
    states.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(states)
}

/// Whether this version of Aval contains the migration with this name.
pub fn is_known(name: &str) -> bool {
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).unwrap_or_default();
    known.iter().any(|migration| migration.name().to_string() == name)
}

/// Reverts the last `count` migrations, newest first, and returns their names. If one cannot be reverted, the
/// migrations reverted before it stay reverted.
///
/// # Errors
/// [`Error::Configuration`] if the user may not change the schema; [`Error::Internal`] if a migration cannot be
/// reverted.
pub async fn revert(url: &str, count: u16) -> Result<Vec<String>> {
    let mut connection = connect::connect(url).await?;
    pooler::expect_sessions(&Connector::new(url)?).await?;
    check_may_migrate(&mut connection).await?;
    drop(connection);
    with_harness(url, move |connection| {
        let mut reverted = Vec::new();
        for _ in 0..count {
            let version = connection.revert_last_migration(MIGRATIONS).map_err(Error::internal)?;
            reverted.push(version.to_string());
        }
        Ok(reverted)
    })
    .await
}

/// Reverts all migrations, newest first. For tests of reversibility.
///
/// # Errors
/// The errors of [`run_pending`].
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

/// Locks the migrations against other instances until the connection is closed.
fn lock(connection: &mut SyncConnection) -> Result<()> {
    Ok(connection.batch_execute("SELECT pg_advisory_lock(hashtext('aval.migrations'))")?)
}
