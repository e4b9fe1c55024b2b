//! One way to run a transaction: named, and tried again when the database asks for it.

use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager as _};
use slog::{Logger, debug};

use crate::error::{Error, Result};
use crate::storage::Database;

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
/// outside the database.
///
/// # Errors
/// What `work` returned, or the last database error.
pub async fn run<R>(
    database: &Database,
    logger: &Logger,
    name: &'static str,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
) -> Result<R> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut connection = database.get().await?;
        match once(&mut connection, &work).await {
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
    Manager::begin_transaction(connection).await?;
    match work(connection).await {
        Ok(value) => {
            Manager::commit_transaction(connection).await?;
            Ok(value)
        }
        Err(abort) => {
            // The first error is the one to tell; a connection whose rollback failed is not lent again.
            let _ = Manager::rollback_transaction(connection).await;
            Err(abort.into())
        }
    }
}
