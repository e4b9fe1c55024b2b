//! One way to run a transaction: named, tried again when the database asks for it, and with plans that do not depend on
//! statistics.

use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager as _};
use slog::{Logger, debug};

use crate::error::{Error, Result};
use crate::storage::{Database, planner};

/// Tries of one transaction: deadlocks and serialisation failures are rare, and one more try nearly always settles
/// them.
const MAX_TRIES: u32 = 4;

/// A failure inside a transaction; either kind rolls it back.
#[derive(Debug)]
pub enum Abort {
    /// The database's own.
    Database(DieselError),
    /// Ours.
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

/// Runs `work` in a transaction, again when it failed for a passing reason of the database. `work` must have no effect
/// outside the database; it returns its results.
///
/// # Errors
/// What `work` returned, or the last database error.
pub async fn run<R>(
    database: &Database,
    logger: &Logger,
    name: &'static str,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
) -> Result<R> {
    run_counted(database, logger, name, async |connection, _| work(connection).await).await
}

/// The same for `work` that is told which try it is, from 1.
///
/// # Errors
/// As [`run`].
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
            Err(error @ Error::Database { transient: true, .. }) if tries < MAX_TRIES => {
                debug!(logger, "transaction is tried again"; "transaction" => name, "tries" => tries, error);
            }
            other => return other,
        }
    }
}

/// Runs `work` in a transaction of `connection`, once.
///
/// # Errors
/// What `work` returned, or the database's error.
pub async fn once<R>(
    connection: &mut AsyncPgConnection,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
) -> Result<R> {
    begin(connection).await?;
    let outcome = work(connection).await;
    end(connection, outcome).await
}

/// Runs `work` in a transaction of `connection`, once: for statements that would stand alone but for their plans.
///
/// # Errors
/// What `work` returned, or the database's error.
pub async fn single<R>(
    connection: &mut AsyncPgConnection,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R>,
) -> Result<R> {
    once(connection, async |connection| Ok(work(connection).await?)).await
}

/// Begins a transaction, for a future that must be `Send` and so cannot be a closure's; [`end`] must follow. A transaction
/// within another is a savepoint and has the settings of the outer one.
pub async fn begin(connection: &mut AsyncPgConnection) -> diesel::QueryResult<()> {
    match Manager::transaction_manager_status_mut(connection).transaction_depth()? {
        None => Manager::begin_transaction_sql(connection, planner::BEGIN).await,
        Some(_) => Manager::begin_transaction(connection).await,
    }
}

/// Begins a transaction by `begin`, one of [`planner`]'s, each of whose statements may take `longest`; [`end`] must follow.
pub async fn begin_limited(
    connection: &mut AsyncPgConnection,
    begin: &str,
    longest: Duration,
) -> diesel::QueryResult<()> {
    let begin = format!("{begin}; SET LOCAL statement_timeout = {}", longest.as_millis());
    Manager::begin_transaction_sql(connection, &begin).await
}

/// Commits what succeeded and rolls back what failed.
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
            // The first error is the one to tell; a connection whose rollback failed is not lent again.
            let _ = Manager::rollback_transaction(connection).await;
            Err(error.into())
        }
    }
}
