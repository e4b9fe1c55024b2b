//! What stands between Aval and PostgreSQL: nothing, or a pooler such as PgBouncer.
//!
//! A pooler in transaction mode gives each transaction whichever session of the server is free. What belongs to a
//! session is then lost, or lent to another client: settings, advisory locks, `LISTEN`, and, unless the pooler knows
//! of them, prepared statements. So Aval finds out ([`examine`]): settings become the role's ([`set_for_role`]),
//! whatever needs a session goes past the pooler by `database.direct_url`, and a pooler without prepared statements
//! is refused with that cause.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection as _};
use tokio::time::timeout;

use super::connect::Connector;
use super::statement::{Binder, FixedStatement, Prepared};
use super::{STATEMENTS_FORGOTTEN, describe_connection, origin};
use crate::error::{Error, Result};
use crate::storage::Session;

/// Longest wait for a session of the server while another client holds one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a pooler cannot be used.
const NO_PREPARED_STATEMENTS: &str = "the pooler between Aval and PostgreSQL does not support prepared statements: \
    PgBouncer needs version 1.21 or later with max_prepared_statements above 0";

/// The way from Aval to a session of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// A connection is a session.
    Direct,
    /// A connection is a session for as long as it lasts.
    SessionPooler,
    /// A connection has a session for a transaction.
    TransactionPooler,
}

struct Backend;

impl FixedStatement for Backend {
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
        Err(error) if origin(&error).is_some_and(|origin| STATEMENTS_FORGOTTEN.contains(&origin.code)) => {
            Err(Error::configuration(NO_PREPARED_STATEMENTS))
        }
        Err(error) => Err(error.into()),
    }
}

async fn open(connector: &Connector) -> Result<Session> {
    connector.connect().await.map_err(|error| Error::unavailable("database", describe_connection(&error)))
}

/// Finds out what is in between. A pooler greets clients with a process number of its own making; whether it works by
/// transactions shows when a second client holds the session that the first has used.
///
/// # Errors
/// [`Error::Configuration`] for a pooler without prepared statements, [`Error::Unavailable`] when the database cannot
/// be reached.
pub(super) async fn examine(connector: &Connector) -> Result<Route> {
    let mut first = open(connector).await?;
    let process = backend(&mut first).await?;
    if process == first.facts.process() {
        return Ok(Route::Direct);
    }
    let mut second = open(connector).await?;
    second.batch_execute("BEGIN").await?;
    let held = backend(&mut second).await?;
    match timeout(PATIENCE, backend(&mut first)).await {
        Ok(Ok(again)) if again == process && held != process => Ok(Route::SessionPooler),
        // Another session, or none at all while the only one is held.
        Ok(Ok(_)) | Err(_) => Ok(Route::TransactionPooler),
        Ok(Err(error)) => Err(error),
    }
}

/// Expects that a connection of `connector` keeps its session.
///
/// # Errors
/// [`Error::Configuration`] when a pooler in transaction mode is in between, and as [`examine`].
pub(super) async fn expect_sessions(connector: &Connector) -> Result<()> {
    match examine(connector).await? {
        Route::Direct | Route::SessionPooler => Ok(()),
        Route::TransactionPooler => Err(Error::configuration(
            "the database's URL leads through a pooler in transaction mode: set database.direct_url (DATABASE_DIRECT_URL) to \
             PostgreSQL itself, for migrations, LISTEN and leadership",
        )),
    }
}

/// Makes a setting the default of the connected role in this database, for sessions that begin from now on. A setting
/// of the session would be lost, or lent to the pooler's other clients. Instances that start at the same time wait for each
/// other: PostgreSQL refuses concurrent changes of one role's settings.
///
/// # Errors
/// When the role may not, or the database fails.
pub(super) async fn set_for_role(session: &mut Session, name: &str, value: &str) -> Result<()> {
    let statement = format!(
        "DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('aval.role_settings')); \
         IF NOT EXISTS (SELECT FROM pg_settings WHERE name = '{name}' AND setting = '{value}') THEN \
         EXECUTE format('ALTER ROLE %I IN DATABASE %I SET {name} = {value}', current_user, current_database()); \
         END IF; END $$"
    );
    Ok(session.batch_execute(&statement).await?)
}
