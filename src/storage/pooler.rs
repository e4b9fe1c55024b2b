//! Detects a pooler such as PgBouncer between Aval and PostgreSQL.
//!
//! A pooler in transaction mode assigns each transaction any free server session. Session state is then lost or leaks
//! to another client: settings, advisory locks, `LISTEN`, and prepared statements unless the pooler supports them.
//! [`examine`] detects such a pooler. Settings are then stored for the role ([`set_for_role`]), and work that needs a
//! session uses `database.direct_url`.
//!
//! A pooler without prepared statements is rejected. PgBouncer supports them since version 1.21 (its changelog, 1.21.0) if
//! `max_prepared_statements` is above 0. Ordinary connections report the version of PostgreSQL. Only PgBouncer's
//! administrative console reports its own, and only to users in `admin_users` or `stats_users`. For other users the error
//! says how to find the version.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection as _};
use tokio::time::timeout;

use super::connect::Connector;
use super::statement::{Binder, FixedStatement, Prepared};
use super::{UNKNOWN_STATEMENT, describe_connection, origin};
use crate::error::{Error, Result};
use crate::storage::DatabaseSession;

/// How long to wait for a server session while another client holds one, and for PgBouncer's console.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The database name of PgBouncer's administrative console.
const CONSOLE: &str = "pgbouncer";
/// The end of the `server_version` that the console reports.
const CONSOLE_SUFFIX: &str = "/bouncer";
/// The first version of PgBouncer that supports prepared statements in transaction mode.
const FIRST_SUPPORTED: (u32, u32) = (1, 21);

/// How connections relate to sessions of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// A connection is a session.
    Direct,
    /// A connection keeps one session.
    SessionPooler,
    /// A connection gets a session per transaction.
    TransactionPooler,
}

struct Backend;

impl FixedStatement for Backend {
    const NAME: &'static str = "identify_backend";
    // tokio-postgres names the statements of each connection s0, s1 and so on. A pooler that supports prepared statements
    // renames them, because several clients use the same names in one server session.
    const SQL: &'static str = "SELECT pg_backend_pid() AS process, \
        EXISTS (SELECT FROM pg_prepared_statements WHERE NOT from_sql AND name ~ '^s[0-9]+$') AS keeps_names";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct BackendRow {
    #[diesel(sql_type = Integer)]
    process: i32,
    /// Whether statements still have the names that the client chose.
    #[diesel(sql_type = Bool)]
    keeps_names: bool,
}

/// The session that executes a prepared statement; `None` if it does not know the statement.
async fn backend(session: &mut DatabaseSession) -> Result<Option<BackendRow>> {
    let row: QueryResult<BackendRow> = Prepared(Backend).get_result(session).await;
    match row {
        Ok(row) => Ok(Some(row)),
        Err(error) if origin(&error).is_some_and(|origin| UNKNOWN_STATEMENT.contains(&origin.code)) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn open(connector: &Connector) -> Result<DatabaseSession> {
    connector.connect().await.map_err(|error| Error::unavailable("database", describe_connection(&error)))
}

/// Detects whether there is a pooler, and its mode. A pooler sends clients a process id of its own. To detect the mode, a
/// second client begins a transaction. In transaction mode, it may then hold the server session that the first client used,
/// and the first client gets another session or none.
///
/// # Errors
/// [`Error::Configuration`] for a pooler without prepared statements, [`Error::Unavailable`] if the database is
/// unreachable.
pub(super) async fn examine(connector: &Connector) -> Result<Route> {
    match detect(connector).await? {
        Some(route) => Ok(route),
        None => Err(refusal(console_version(connector).await.as_deref())),
    }
}

/// `None` for a pooler in transaction mode that does not support prepared statements.
async fn detect(connector: &Connector) -> Result<Option<Route>> {
    let mut first = open(connector).await?;
    let Some(used) = backend(&mut first).await? else { return Ok(None) };
    if used.process == first.facts.process() {
        return Ok(Some(Route::Direct));
    }
    let mut second = open(connector).await?;
    second.batch_execute("BEGIN").await?;
    let Some(held) = backend(&mut second).await? else { return Ok(None) };
    match timeout(TIMEOUT, backend(&mut first)).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(None)) => Ok(None),
        Ok(Ok(Some(again))) if again.process == used.process && held.process != used.process => {
            Ok(Some(Route::SessionPooler))
        }
        // The first client got another session, or none because the second client holds the only one.
        Ok(Ok(Some(_))) | Err(_) => Ok((!used.keeps_names).then_some(Route::TransactionPooler)),
    }
}

/// The version of PgBouncer, such as `1.18.0`. `None` if the user may not connect to the console, or for another pooler.
async fn console_version(connector: &Connector) -> Option<String> {
    let reported = timeout(TIMEOUT, connector.server_version(CONSOLE)).await.ok()??;
    reported.strip_suffix(CONSOLE_SUFFIX).map(str::to_owned)
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    let version: Option<(u32, u32)> = numbers.next().zip(numbers.next());
    version.is_some_and(|version| version < FIRST_SUPPORTED)
}

/// The error for a pooler without prepared statements.
fn refusal(version: Option<&str>) -> Error {
    const NEEDED: &str = "PgBouncer 1.21 or later with max_prepared_statements above 0";
    const LACKS: &str = "does not support prepared statements in transaction mode";
    match version {
        Some(version) if is_too_old(version) => Error::configuration(format_args!(
            "the pooler between Aval and PostgreSQL is PgBouncer {version}, which {LACKS}: use {NEEDED}"
        )),
        Some(version) => Error::configuration(format_args!(
            "the pooler between Aval and PostgreSQL is PgBouncer {version} with max_prepared_statements = 0 and therefore \
             {LACKS}: set max_prepared_statements to 200"
        )),
        None => Error::configuration(format_args!(
            "the pooler between Aval and PostgreSQL {LACKS}: use {NEEDED}. Versions up to 1.20, such as 1.18 in Debian 12, \
             are too old. \"pgbouncer --version\" prints the version; its console does not report it to this user"
        )),
    }
}

/// Checks that a connection of `connector` keeps its session.
///
/// # Errors
/// [`Error::Configuration`] for a pooler in transaction mode, and the errors of [`examine`].
pub(super) async fn expect_sessions(connector: &Connector) -> Result<()> {
    match examine(connector).await? {
        Route::Direct | Route::SessionPooler => Ok(()),
        Route::TransactionPooler => Err(Error::configuration(
            "the database URL connects through a pooler in transaction mode: set database.direct_url (DATABASE_DIRECT_URL) to \
             PostgreSQL itself, for migrations, LISTEN and leadership",
        )),
    }
}

/// Makes a setting the default of the connected role in this database, for future sessions. A session setting would be
/// lost or leak to other clients of the pooler. A lock serializes instances that start together, because PostgreSQL
/// rejects concurrent changes of a role's settings.
///
/// # Errors
/// If the role may not change its settings.
pub(super) async fn set_for_role(session: &mut DatabaseSession, name: &str, value: &str) -> Result<()> {
    let statement = format!(
        "DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('aval.role_settings')); \
         IF NOT EXISTS (SELECT FROM pg_settings WHERE name = '{name}' AND setting = '{value}') THEN \
         EXECUTE format('ALTER ROLE %I IN DATABASE %I SET {name} = {value}', current_user, current_database()); \
         END IF; END $$"
    );
    Ok(session.batch_execute(&statement).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_1_21_are_too_old() {
        for (version, too_old) in [
            ("1.18.0", true),
            ("1.20.1", true),
            ("1.9", true),
            ("1.21.0", false),
            ("1.25.0", false),
            ("2.0.0", false),
            ("1.21.0rc1", false),
            ("unknown", false),
        ] {
            assert_eq!(is_too_old(version), too_old, "{version}");
        }
    }
}
