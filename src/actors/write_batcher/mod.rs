//! The write batcher: writes that wait are written together.
//!
//! A commit costs a disk's round trip whatever is in it. So writes do not go to the database one by one: a write batcher takes
//! all that wait, writes them as one transaction of set-based statements, and answers each after the commit. It never
//! waits for more to come: when nothing waits, a write goes alone, at once. While one group is being written the next
//! gathers.
//!
//! What can go wrong: one bad row fails its whole group, so a failed group is tried again write by write, and the bad one
//! fails alone. A month without partitions shows itself that way too, and is made on the spot. When the write batcher dies, its
//! waiting writes are answered with an error that says so; whether they were committed is then unknown, which is why every
//! write can be sent again: inserts have their id, the others are fenced by their lease.

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
use crate::storage::applications::{InsertOutcome, Insertion};
use crate::storage::group_write::GroupWrite;
pub use crate::storage::group_write::Written;
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};

/// The role's name, in logs and metrics.
pub const NAME: &str = "write_batcher";

/// How long an application waits for the end of another one's transaction, try by try. Most take a few milliseconds.
const CONTENTION_PAUSES: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(80)];

/// Hands a write to the write batcher.
#[derive(Message)]
#[rtype(result = "()")]
struct Enqueue(Box<dyn QueuedWrite>);

/// Called after each commit, to wake the scheduler and the relay of this instance. It must not block.
pub type CommitHook = Arc<dyn Fn(Written) + Send + Sync>;

/// One write batcher.
pub struct WriteBatcher {
    resources: Resources,
    waiting: VecDeque<Box<dyn QueuedWrite>>,
    /// What this write batcher has added to the gauge of all write batchers.
    measured: i64,
    writing: bool,
    on_commit: CommitHook,
    _liveness: LivenessGuard,
}

impl WriteBatcher {
    /// A write batcher that tells `on_commit` of every group.
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

    fn measure(&mut self) {
        let depth = i64::try_from(self.waiting.len()).unwrap_or(i64::MAX);
        let gauge = self.resources.metrics.actor_mailbox_depth.with_label_values(&[NAME]);
        gauge.add(depth - self.measured);
        self.measured = depth;
    }

    /// Starts to write what waits, unless a group is being written already.
    fn write_next_group(&mut self, ctx: &mut Context<Self>) {
        if self.writing || self.waiting.is_empty() {
            return;
        }
        let size = self.waiting.len().min(self.resources.settings.actors.write_group_size);
        let group = Group::of(self.waiting.drain(..size));
        self.measure();
        self.writing = true;
        let (resources, on_commit) = (self.resources.clone(), Arc::clone(&self.on_commit));
        // A task of its own: a panic in it comes back as an error instead of ending the write batcher.
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
        debug!(self.resources.logger, "write_batcher started");
    }
}

impl Drop for WriteBatcher {
    /// What waited is answered with an error, and waits no more.
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

/// The write batchers of an instance, as their clients see them. Cheap to clone.
#[derive(Clone)]
pub struct WriteBatchers {
    handles: Arc<[Handle<WriteBatcher>]>,
    next: Arc<AtomicUsize>,
}

impl WriteBatchers {
    /// Clients of these write batchers.
    pub fn new(handles: impl IntoIterator<Item = Handle<WriteBatcher>>) -> Self {
        Self { handles: handles.into_iter().collect(), next: Arc::default() }
    }

    /// Inserts an application, if its terms admit it; answered after the commit. One that meets another for the same
    /// document on its way is tried again a few times, so that its answer can name the other; no group waits for that.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too much waits, [`Error::Unavailable`] when the write batcher or the database is not there,
    /// or the database's error.
    pub async fn insert(&self, insertion: impl Into<Insertion>) -> Result<InsertOutcome> {
        let insertion = insertion.into();
        let mut pauses = CONTENTION_PAUSES.into_iter();
        loop {
            let outcome = self.write(insertion.clone()).await?;
            match (outcome, pauses.next()) {
                (InsertOutcome::Contended, Some(pause)) => tokio::time::sleep(pause).await,
                (outcome, _) => return Ok(outcome),
            }
        }
    }

    /// Hands a write to a write batcher; answered after the commit.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when its queue is full, [`Error::Unavailable`] when the write batcher or the database is
    /// unavailable, or the write's own error.
    pub async fn write<W: GroupWrite>(&self, write: W) -> Result<W::Outcome> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len().max(1);
        let write_batcher =
            self.handles.get(turn).ok_or_else(|| Error::unavailable(NAME, "none configured"))?;
        let (reply, answer) = oneshot::channel();
        write_batcher.tell(Enqueue(Box::new(Queued { write, reply })))?;
        answer.await.unwrap_or_else(|died| Err(Error::unavailable(NAME, died)))
    }
}
