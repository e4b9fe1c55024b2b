//! Grouped writes: the writes of many callers in one transaction.
//!
//! Each kind of grouped write is one type that implements [`GroupWrite`]. The write batcher (`actors::write_batcher`)
//! sorts pending writes by type and calls [`GroupWrite::write`] once per type.

use std::future::Future;

use diesel_async::AsyncPgConnection;
use slog::Logger;

use super::Database;
use super::seal::KeyRing;
use super::transaction::{self, Abort};
use crate::error::{Error, Result};

/// What a committed group changed. The instance that committed it wakes its own actors without waiting for the `NOTIFY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Jobs were queued or returned to the queue.
    pub jobs: bool,
    /// Events were written to the outbox.
    pub events: bool,
}

impl Written {
    /// The union of both: whatever either of them changed.
    pub fn and(self, other: Self) -> Self {
        Self { jobs: self.jobs || other.jobs, events: self.events || other.events }
    }
}

/// A write that can share a transaction with others.
pub trait GroupWrite: Send + Sync + Sized + 'static {
    /// The result for the caller.
    type Outcome: Send + 'static;

    /// The position of this type in a group; the lowest is written first. The order prevents deadlocks: every group locks
    /// applications before their jobs.
    const ORDER: u8;

    /// What a committed write of this type changes.
    const WRITTEN: Written;

    /// Whether a write is dropped if its caller stopped waiting before the group began.
    const DROPPED_WITHOUT_CALLER: bool = false;

    /// Writes all of `writes` in the open transaction and returns one outcome per write, in order. Returning an error
    /// rolls the group back; an error in an outcome affects only that write.
    fn write(
        connection: &mut AsyncPgConnection,
        keys: &KeyRing,
        writes: &[Self],
    ) -> impl Future<Output = Result<Vec<Result<Self::Outcome>>, Abort>>;

    /// Makes one write in a transaction of its own, after its group has failed. The transaction is repeated after
    /// transient failures.
    ///
    /// # Errors
    /// The write's own error.
    fn write_alone(
        self,
        database: &Database,
        logger: &Logger,
    ) -> impl Future<Output = Result<Self::Outcome>> {
        async move {
            let (keys, writes) = (database.keys(), std::slice::from_ref(&self));
            let work = async |connection: &mut AsyncPgConnection| Self::write(connection, keys, writes).await;
            let outcomes = transaction::run(database, logger, "single_write", work).await?;
            outcomes.into_iter().next().ok_or_else(|| Error::internal("a write without an outcome"))?
        }
    }
}

/// The outcomes of writes that cannot fail individually.
pub(super) fn all_succeeded<T>(outcomes: Vec<T>) -> Vec<Result<T>> {
    outcomes.into_iter().map(Ok).collect()
}
