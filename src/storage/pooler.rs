//! Detects a pooler such as PgBouncer between Aval and PostgreSQL.
//!
//! A pooler in transaction mode assigns each transaction any free server session. Session state is then lost or leaks
//! to another client: settings, advisory locks, `LISTEN`, and prepared statements unless the pooler supports them.
//! [`examine`] detects such a pooler. Settings are then stored for the role ([`set_for_role`]), and work that needs a
//! session uses `database.direct_url`. A pooler without prepared statements is rejected with a clear error.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection as _};
use tokio::time::timeout;

use super::connect::Connector;
use super::statement::{Binder, FixedStatement, Prepared};
use super::{UNKNOWN_STATEMENT, describe_connection, origin};
use crate::error::{Error, Result};
use crate::storage::Session;

/// Timeout for a server session while another client holds one.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The error for an unsupported pooler.
const NO_PREPARED_STATEMENTS: &str = "the pooler between Aval and PostgreSQL does not support prepared statements: \
    PgBouncer needs version 1.21 or later with max_prepared_statements above 0";

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
    const SQL: &'static str = "SELECT pg_backend_pid() AS process";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct BackendRow {
    #[diesel(sql_type = Integer)]
    process: i32,
}

async fn backend(session: &mut Session) -> Result<i32> {
    let row: QueryResult<BackendRow> = Prepared(Backend).get_result(session).await;
    match row {
        Ok(row) => Ok(row.process),
        Err(error) if origin(&error).is_some_and(|origin| UNKNOWN_STATEMENT.contains(&origin.code)) => {
            Err(Error::configuration(NO_PREPARED_STATEMENTS))
        }
        Err(error) => Err(error.into()),
    }
}

async fn open(connector: &Connector) -> Result<Session> {
    connector.connect().await.map_err(|error| Error::unavailable("database", describe_connection(&error)))
}

/// Detects whether there is a pooler. A pooler sends clients a process id of its own. Its mode shows when a second
/// client holds the session that the first one used.
///
/// # Errors
/// [`Error::Configuration`] for a pooler without prepared statements, [`Error::Unavailable`] if the database is
/// unreachable.
pub(super) async fn examine(connector: &Connector) -> Result<Route> {
    let mut first = open(connector).await?;
    let process = backend(&mut first).await?;
    if process == first.facts.process() {
        return Ok(Route::Direct);
    }
    let mut second = open(connector).await?;
    second.batch_execute("BEGIN").await?;
    let held = backend(&mut second).await?;
    match timeout(TIMEOUT, backend(&mut first)).await {
        Ok(Ok(current)) if current == process && held != process => Ok(Route::SessionPooler),
        // The first client got another session, or none because the only one is held.
        Ok(Ok(_)) | Err(_) => Ok(Route::TransactionPooler),
        Ok(Err(error)) => Err(error),
    }
}

/// Checks that a connection of `connector` keeps its session.
///
/// # Errors
/// [`Error::Configuration`] for a pooler in transaction mode, and those of [`examine`].
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
/// lost or leak to other clients of the pooler. A lock serialises instances that start together, because PostgreSQL
/// rejects concurrent changes to a role's settings.
///
/// # Errors
/// If the role may not change its settings.
pub(super) async fn set_for_role(session: &mut Session, name: &str, value: &str) -> Result<()> {
    let statement = format!(
        "DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('aval.role_settings')); \
         IF NOT EXISTS (SELECT FROM pg_settings WHERE name = '{name}' AND setting = '{value}') THEN \
         EXECUTE format('ALTER ROLE %I IN DATABASE %I SET {name} = {value}', current_user, current_database()); \
         END IF; END $$"
    );
    Ok(session.batch_execute(&statement).await?)
}
