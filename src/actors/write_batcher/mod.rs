//! The write batcher: combines waiting writes into one transaction.
//!
//! A commit costs one disk round trip, whatever its size. A write batcher therefore takes all waiting writes, writes
//! them in one transaction of set-based statements, and responds to each caller after the commit. It does not delay a
//! write to wait for others: a single write is written immediately. While one group is being written, the next one
//! accumulates.
//!
//! A single invalid row makes its whole group fail. The writes of a failed group are therefore retried individually, and
//! only the invalid one fails. A missing partition also makes the group fail; the retry creates it. When the write batcher
//! fails, its callers get an error, and it is unknown whether their writes were committed. Therefore every write can be
//! repeated: inserts have an id, and the other writes are protected by their fencing token.

mod group;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use slog::{debug, warn};
use tokio::sync::oneshot;

use self::group::{Group, Queued, QueuedWrite};
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::group_write::GroupWrite;
pub use crate::storage::group_write::Written;
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::telemetry::trace::WriteSpan;

/// The actor's name in logs and metrics.
pub const NAME: &str = "write_batcher";

/// Passes a write to the write batcher.
#[derive(Message)]
#[rtype(result = "()")]
struct Enqueue(Box<dyn QueuedWrite>);

/// Called after each commit to wake the scheduler and the relay of this instance. Must not block.
pub type CommitHook = Arc<dyn Fn(Written) + Send + Sync>;

pub struct WriteBatcher {
    resources: Resources,
    waiting: VecDeque<Box<dyn QueuedWrite>>,
    /// What this write batcher has added to the gauge `actor_mailbox_depth`.
    measured: i64,
    writing: bool,
    on_commit: CommitHook,
    _liveness: LivenessGuard,
}

impl WriteBatcher {
    /// A write batcher that calls `on_commit` after every group.
    pub fn new(resources: &Resources, on_commit: CommitHook, liveness: LivenessGuard) -> Self {
        Self {
            resources: resources.named(NAME),
            waiting: VecDeque::new(),
            measured: 0,
            writing: false,
            on_commit,
            _liveness: liveness,
        }
    }

    /// Updates the gauge of the queue's length.
    fn measure(&mut self) {
        let depth = i64::try_from(self.waiting.len()).unwrap_or(i64::MAX);
        let gauge = self.resources.metrics.actor_mailbox_depth.with_label_values(&[NAME]);
        gauge.add(depth - self.measured);
        self.measured = depth;
    }

    /// Writes the next group, unless one is being written.
    fn write_next_group(&mut self, ctx: &mut Context<Self>) {
        if self.writing || self.waiting.is_empty() {
            return;
        }
        let size = self.waiting.len().min(self.resources.settings.actors.write_group_size);
        let group = Group::of(self.waiting.drain(..size));
        self.measure();
        self.writing = true;
        let (resources, on_commit) = (self.resources.clone(), Arc::clone(&self.on_commit));
        // Runs as a separate asynchronous task, so a panic becomes an error instead of ending the actor.
        let task = actix_rt::spawn(async move { group.write(&resources, &on_commit).await });
        ctx.spawn(task.into_actor(self).map(|ended, write_batcher, ctx| {
            if let Err(panic) = ended {
                warn!(write_batcher.resources.logger, "writing a group panicked"; "cause" => %panic);
            }
            write_batcher.writing = false;
            write_batcher.write_next_group(ctx);
        }));
    }
}

impl Actor for WriteBatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.resources.settings.actors.write_queue_capacity);
        debug!(self.resources.logger, "write batcher started");
    }
}

impl Drop for WriteBatcher {
    /// The callers of waiting writes get an error when the writes are dropped.
    fn drop(&mut self) {
        self.waiting.clear();
        self.measure();
    }
}

impl Handler<Enqueue> for WriteBatcher {
    type Result = ();

    fn handle(&mut self, Enqueue(write): Enqueue, ctx: &mut Self::Context) {
        self.resources.faults.pass(FaultPoint::WriteBatcher, None);
        if self.waiting.len() >= self.resources.settings.actors.write_queue_capacity {
            write.refuse(Error::Overloaded { what: NAME, retry_after: Duration::from_secs(1) });
            return;
        }
        self.waiting.push_back(write);
        self.measure();
        self.write_next_group(ctx);
    }
}

/// Distributes writes among the write batchers of an instance. Cheap to clone.
#[derive(Clone)]
pub struct WriteBatchers {
    handles: Arc<[Handle<WriteBatcher>]>,
    next: Arc<AtomicUsize>,
}

impl WriteBatchers {
    pub fn new(handles: impl IntoIterator<Item = Handle<WriteBatcher>>) -> Self {
        Self { handles: handles.into_iter().collect(), next: Arc::default() }
    }

    /// Passes a write to a write batcher; returns after the commit.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the queue is full, [`Error::Unavailable`] if the write batcher or the database is
    /// unavailable, or the write's own error.
    pub async fn write<W: GroupWrite>(&self, write: W) -> Result<W::Outcome> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len().max(1);
        let write_batcher =
            self.handles.get(turn).ok_or_else(|| Error::unavailable(NAME, "none configured"))?;
        let (reply, answer) = oneshot::channel();
        let waiting = WriteSpan::start();
        write_batcher.tell(Enqueue(Box::new(Queued { write, reply, waiting: waiting.for_group() })))?;
        let outcome = answer.await.unwrap_or_else(|dropped| Err(Error::unavailable(NAME, dropped)));
        waiting.end();
        outcome
    }
}
