//! Named transactions. They are retried after transient failures, and the plans of their statements do not depend on
//! PostgreSQL's statistics about the tables.

use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl as _, TransactionManager as _};
use slog::{Logger, debug};

use crate::error::{Error, Result};
use crate::storage::{Database, planner};

/// The maximum number of attempts. Deadlocks and serialization failures are rare, and one retry nearly always succeeds.
const MAX_ATTEMPTS: u32 = 4;

/// A failure inside a transaction. Both kinds roll it back.
#[derive(Debug)]
pub enum Abort {
    Database(DieselError),
    /// An error of Aval.
    Error(Error),
}

impl From<DieselError> for Abort {
    fn from(error: DieselError) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Abort {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Abort> for Error {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Database(error) => error.into(),
            Abort::Error(error) => error,
        }
    }
}

type Manager = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// Runs `work` in a transaction and repeats it after transient database failures. `work` must have no effects outside the
/// database.
///
/// # Errors
/// The error of `work`, or the last database error.
pub async fn run<R>(
    database: &Database,
    logger: &Logger,
    name: &'static str,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
) -> Result<R> {
    run_counted(database, logger, name, async |connection, _| work(connection).await).await
}

/// Like [`run`], but also passes the number of the attempt to `work`, starting at 1.
///
/// # Errors
/// The errors of [`run`].
pub async fn run_counted<R>(
    database: &Database,
    logger: &Logger,
    name: &'static str,
    work: impl AsyncFn(&mut AsyncPgConnection, u32) -> Result<R, Abort>,
) -> Result<R> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut connection = database.get().await?;
        match once(&mut connection, async |connection| work(connection, tries).await).await {
            Err(error @ Error::Database { transient: true, .. }) if tries < MAX_ATTEMPTS => {
                debug!(logger, "retrying transaction"; "transaction" => name, "tries" => tries, error);
            }
            other => return other,
        }
    }
}

/// Runs `work` once, in a transaction of `connection`.
///
/// # Errors
/// The error of `work`, or the database's error.
pub async fn once<R>(
    connection: &mut AsyncPgConnection,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
) -> Result<R> {
    begin(connection).await?;
    let outcome = work(connection).await;
    end(connection, outcome).await
}

/// Like [`once`], but PostgreSQL rolls the transaction back and closes the session if no statement arrives for `idle`.
/// Therefore an instance that has disappeared holds its locks no longer than that.
///
/// # Errors
/// The error of `work`, or the database's error.
pub async fn once_attended<R>(
    connection: &mut AsyncPgConnection,
    idle: Duration,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
) -> Result<R> {
    let idle_ms = idle.as_millis();
    let begin = format!("{}; SET LOCAL idle_in_transaction_session_timeout = {idle_ms}", planner::BEGIN);
    Manager::begin_transaction_sql(connection, &begin).await?;
    let outcome = work(connection).await;
    end(connection, outcome).await
}

/// Runs `work` once, in a transaction of `connection`. For single statements that need a transaction only for the
/// planner settings.
///
/// # Errors
/// The error of `work`, or the database's error.
pub async fn single<R>(
    connection: &mut AsyncPgConnection,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R>,
) -> Result<R> {
    once(connection, async |connection| Ok(work(connection).await?)).await
}

/// Fails if a statement of the transaction has failed, even if its error was ignored. PostgreSQL answers the commit of such
/// a transaction with a rollback instead of an error.
pub async fn expect_intact(connection: &mut AsyncPgConnection) -> Result<()> {
    let one = diesel::dsl::sql::<diesel::sql_types::Integer>("1");
    diesel::select(one).get_result::<i32>(connection).await?;
    Ok(())
}

/// Begins a transaction, for futures that must be `Send` and therefore cannot use a closure. [`end`] must follow. A
/// nested transaction is a savepoint with the settings of the outer one.
pub async fn begin(connection: &mut AsyncPgConnection) -> diesel::QueryResult<()> {
    match Manager::transaction_manager_status_mut(connection).transaction_depth()? {
        None => Manager::begin_transaction_sql(connection, planner::BEGIN).await,
        Some(_) => Manager::begin_transaction(connection).await,
    }
}

/// Begins a transaction with `begin`, a constant of [`planner`], and a statement timeout of `timeout`. [`end`] must
/// follow.
pub async fn begin_limited(
    connection: &mut AsyncPgConnection,
    begin: &str,
    timeout: Duration,
) -> diesel::QueryResult<()> {
    let begin = format!("{begin}; SET LOCAL statement_timeout = {}", timeout.as_millis());
    Manager::begin_transaction_sql(connection, &begin).await
}

/// Commits on success and rolls back on failure.
///
/// # Errors
/// The error of `outcome`, or the database's.
pub async fn end<R, E: Into<Error>>(
    connection: &mut AsyncPgConnection,
    outcome: std::result::Result<R, E>,
) -> Result<R> {
    match outcome {
        Ok(value) => {
            Manager::commit_transaction(connection).await?;
            Ok(value)
        }
        Err(error) => {
            // The caller gets the first error. A connection whose rollback failed is not reused.
            let _ = Manager::rollback_transaction(connection).await;
            Err(error.into())
        }
    }
}
