//! A group of writes. They are sorted by type and written together. Each caller gets its own response.

use std::any::Any;

use diesel_async::AsyncPgConnection;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use slog::warn;
use tokio::sync::oneshot;

use super::CommitHook;
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::group_write::{GroupWrite, Written};
use crate::storage::seal::KeyRing;
use crate::storage::transaction::{self, Abort};
use crate::telemetry::trace::{WriteSpan, in_write_group};

/// Sends a write's outcome to its caller.
pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// A write of any type, with its caller.
pub(super) trait QueuedWrite: Send {
    /// Responds with an error.
    fn refuse(self: Box<Self>, error: Error);

    /// Adds the write to the group's batch of its type.
    fn join(self: Box<Self>, group: &mut Group);
}

/// A write of one type, with its caller.
pub(super) struct Queued<W: GroupWrite> {
    pub(super) write: W,
    pub(super) reply: Reply<W::Outcome>,
    pub(super) waiting: WriteSpan,
}

impl<W: GroupWrite> QueuedWrite for Queued<W> {
    fn refuse(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }

    fn join(self: Box<Self>, group: &mut Group) {
        if W::DROPPED_WITHOUT_CALLER && self.reply.is_closed() {
            return;
        }
        let batch = group.batches.iter_mut().find_map(|batch| batch.as_any_mut().downcast_mut::<Batch<W>>());
        match batch {
            Some(batch) => batch.push(*self),
            None => group.batches.push(Box::new(Batch::of(*self))),
        }
    }
}

/// The writes of one type in a group.
struct Batch<W: GroupWrite> {
    writes: Vec<W>,
    replies: Vec<Reply<W::Outcome>>,
    callers: Vec<WriteSpan>,
}

impl<W: GroupWrite> Batch<W> {
    fn of(queued: Queued<W>) -> Self {
        Self { writes: vec![queued.write], replies: vec![queued.reply], callers: vec![queued.waiting] }
    }

    fn push(&mut self, queued: Queued<W>) {
        self.writes.push(queued.write);
        self.replies.push(queued.reply);
        self.callers.push(queued.waiting);
    }
}

/// The outcomes of a batch: a `Vec<Result<W::Outcome>>`.
type Outcomes = Box<dyn Any>;

/// A [`Batch`] of any type.
trait AnyBatch {
    fn as_any_mut(&mut self) -> &mut dyn Any;

    /// [`GroupWrite::ORDER`] of the type.
    fn order(&self) -> u8;

    /// [`GroupWrite::WRITTEN`] of the type.
    fn effect(&self) -> Written;

    fn len(&self) -> usize;

    /// The spans of the callers.
    fn callers(&self) -> &[WriteSpan];

    /// Makes all writes of the batch in the open transaction.
    fn write<'a>(
        &'a self,
        connection: &'a mut AsyncPgConnection,
        keys: &'a KeyRing,
    ) -> LocalBoxFuture<'a, Result<Outcomes, Abort>>;

    /// Responds with the outcomes that [`AnyBatch::write`] returned.
    fn answer(self: Box<Self>, outcomes: Outcomes);

    /// Makes each write individually and responds to its caller. After the first error that reports an unavailable
    /// database, the remaining writes get the same error without an attempt. `database_error` is that error if it
    /// occurred in an earlier batch. The return value is the `database_error` for the next batch.
    fn write_one_by_one<'a>(
        self: Box<Self>,
        resources: &'a Resources,
        database_error: Option<Error>,
    ) -> LocalBoxFuture<'a, Option<Error>>;
}

impl<W: GroupWrite> AnyBatch for Batch<W> {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn order(&self) -> u8 {
        W::ORDER
    }

    fn effect(&self) -> Written {
        W::WRITTEN
    }

    fn len(&self) -> usize {
        self.writes.len()
    }

    fn callers(&self) -> &[WriteSpan] {
        &self.callers
    }

    fn write<'a>(
        &'a self,
        connection: &'a mut AsyncPgConnection,
        keys: &'a KeyRing,
    ) -> LocalBoxFuture<'a, Result<Outcomes, Abort>> {
        async move {
            let outcomes = W::write(connection, keys, &self.writes).await?;
            Ok(Box::new(outcomes) as Outcomes)
        }
        .boxed_local()
    }

    fn answer(self: Box<Self>, outcomes: Outcomes) {
        let outcomes = outcomes.downcast::<Vec<Result<W::Outcome>>>().unwrap_or_default();
        // A reply without an outcome is dropped, which the caller receives as an error. A dropped caller is not a
        // failure: the write remains committed.
        for (reply, outcome) in self.replies.into_iter().zip(*outcomes) {
            let _ = reply.send(outcome);
        }
    }

    fn write_one_by_one<'a>(
        self: Box<Self>,
        resources: &'a Resources,
        mut database_error: Option<Error>,
    ) -> LocalBoxFuture<'a, Option<Error>> {
        async move {
            for (write, reply) in self.writes.into_iter().zip(self.replies) {
                let outcome = match &database_error {
                    Some(error) => Err(error.clone()),
                    None => write.write_alone(&resources.database, &resources.logger).await,
                };
                if let Err(error @ Error::Unavailable { .. }) = &outcome {
                    database_error.get_or_insert_with(|| error.clone());
                }
                let _ = reply.send(outcome);
            }
            database_error
        }
        .boxed_local()
    }
}

/// Writes that share a transaction.
#[derive(Default)]
pub(super) struct Group {
    batches: Vec<Box<dyn AnyBatch>>,
}

impl Group {
    pub(super) fn of(writes: impl IntoIterator<Item = Box<dyn QueuedWrite>>) -> Self {
        let mut group = Self::default();
        for write in writes {
            write.join(&mut group);
        }
        group.batches.sort_by_key(|batch| batch.order());
        group
    }

    /// Writes the group, or each write individually if the group fails, and responds to all callers.
    pub(super) async fn write(self, resources: &Resources, on_commit: &CommitHook) {
        if self.batches.is_empty() {
            return;
        }
        let effect = self.batches.iter().fold(Written::default(), |all, batch| all.and(batch.effect()));
        let size: usize = self.batches.iter().map(|batch| batch.len()).sum();
        let callers: Vec<&WriteSpan> = self.batches.iter().flat_map(|batch| batch.callers()).collect();
        let written = in_write_group(&callers, size, self.write_together(resources)).await;
        match written {
            Ok(outcomes) => {
                on_commit(effect);
                for (batch, outcomes) in self.batches.into_iter().zip(outcomes) {
                    batch.answer(outcomes);
                }
            }
            Err(error) => {
                if size > 1 {
                    warn!(resources.logger, "group write failed; writing one by one"; "size" => size, error);
                }
                let mut database_error = None;
                for batch in self.batches {
                    database_error = batch.write_one_by_one(resources, database_error).await;
                }
                on_commit(effect);
            }
        }
    }

    async fn write_together(&self, resources: &Resources) -> Result<Vec<Outcomes>> {
        let keys = resources.database.keys();
        let run = async |connection: &mut AsyncPgConnection| {
            let mut outcomes = Vec::with_capacity(self.batches.len());
            for batch in &self.batches {
                outcomes.push(batch.write(connection, keys).await?);
            }
            Ok(outcomes)
        };
        let write = async |connection: &mut AsyncPgConnection| transaction::once(connection, run).await;
        resources.database.run(write).await
    }
}
