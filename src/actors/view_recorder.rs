//! The view recorder: writes audit views in batches, outside of requests.
//!
//! A handler adds a view to the [`ViewLog`] and continues. The recorder writes the queued views when a batch is full, and
//! otherwise every `staff_views.flush_interval_ms`. The queue is outside the actor, and a view leaves it only after its
//! commit, so neither a panic nor a database outage loses a view: the next round writes it. A view that was already
//! written is recognized by its identifier and not written again. A view that does not fit into the queue is logged
//! completely and counted. At shutdown, the remaining views are written.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use slog::{Logger, debug, error, warn};
use uuid::Uuid;

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::Database;
use crate::storage::staff_views::{self, StaffView};
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::supervision::rounds::Rounds;
use crate::telemetry::metrics::Metrics;

/// The actor's name in logs and metrics.
pub const NAME: &str = "view_recorder";

/// A hint that a batch is full.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Wake;

/// The queue of audit views. Cheap to clone.
#[derive(Clone)]
pub struct ViewLog {
    inner: Arc<Inner>,
}

struct Inner {
    waiting: Mutex<VecDeque<StaffView>>,
    /// What this queue has added to the gauge `actor_mailbox_depth`.
    measured: AtomicI64,
    recorder: Handle<ViewRecorder>,
    database: Database,
    metrics: Arc<Metrics>,
    logger: Logger,
    batch_size: usize,
    capacity: usize,
}

impl ViewLog {
    /// An empty queue that `recorder` writes.
    pub fn new(resources: &Resources, recorder: Handle<ViewRecorder>) -> Self {
        let settings = &resources.settings.staff_views;
        let inner = Inner {
            waiting: Mutex::default(),
            measured: AtomicI64::new(0),
            recorder,
            database: resources.database.clone(),
            metrics: Arc::clone(&resources.metrics),
            logger: resources.named(NAME).logger,
            batch_size: settings.batch_size,
            capacity: settings.queue,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Queues a view to be written soon.
    pub fn record(&self, view: StaffView) {
        let inner = &self.inner;
        let mut waiting = inner.lock();
        if waiting.len() >= inner.capacity {
            drop(waiting);
            inner.metrics.staff_views_lost_total.inc();
            error!(inner.logger, "audit view not stored: the queue is full";
                "action" => view.action, "filter" => view.filter.to_string(),
                "application_id" => view.application_id.map(|id| id.to_string()), "request_id" => view.request_id);
            return;
        }
        waiting.push_back(view);
        let full = waiting.len() >= inner.batch_size;
        inner.measure(&waiting);
        drop(waiting);
        if full {
            inner.recorder.hint(Wake);
        }
    }

    /// Writes all queued views.
    ///
    /// # Errors
    /// If the database fails. Views that were not written stay in the queue.
    pub async fn flush(&self) -> Result<()> {
        let inner = &self.inner;
        loop {
            let batch: Vec<StaffView> = inner.lock().iter().take(inner.batch_size).cloned().collect();
            if batch.is_empty() {
                return Ok(());
            }
            inner.database.run(async |connection| staff_views::insert(connection, &batch).await).await?;
            inner.metrics.staff_views_recorded_total.inc_by(u64::try_from(batch.len()).unwrap_or(0));
            let written: HashSet<Uuid> = batch.iter().map(|view| view.id).collect();
            let mut waiting = inner.lock();
            while waiting.front().is_some_and(|view| written.contains(&view.id)) {
                waiting.pop_front();
            }
            inner.measure(&waiting);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, VecDeque<StaffView>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the gauge of the queue's length.
    fn measure(&self, waiting: &VecDeque<StaffView>) {
        let depth = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        let gauge = self.metrics.actor_mailbox_depth.with_label_values(&[NAME]);
        gauge.add(depth - self.measured.swap(depth, Ordering::Relaxed));
    }
}

pub struct ViewRecorder {
    resources: Resources,
    log: ViewLog,
    rounds: Rounds,
    _liveness: LivenessGuard,
}

impl ViewRecorder {
    /// A recorder that writes the views in `log`.
    pub fn new(resources: &Resources, log: ViewLog, liveness: LivenessGuard) -> Self {
        Self { resources: resources.named(NAME), log, rounds: Rounds::default(), _liveness: liveness }
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if !self.rounds.begin() {
            return;
        }
        let log = self.log.clone();
        // Runs as a separate asynchronous task, so a panic becomes an error instead of ending the actor.
        let task = actix_rt::spawn(async move { log.flush().await });
        ctx.spawn(task.into_actor(self).map(|ended, recorder, ctx| {
            let again = recorder.rounds.end();
            match ended {
                Ok(Ok(())) if again => recorder.begin(ctx),
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    warn!(recorder.resources.logger, "cannot write audit views; retrying"; error)
                }
                Err(panic) => {
                    warn!(recorder.resources.logger, "writing audit views panicked"; "cause" => %panic)
                }
            }
        }));
    }
}

impl Actor for ViewRecorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.resources.settings.actors.mailbox_capacity);
        ctx.run_interval(self.resources.settings.staff_views.flush_interval(), Self::begin);
        self.begin(ctx);
        debug!(self.resources.logger, "view recorder started");
    }
}

impl Handler<Wake> for ViewRecorder {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.resources.faults.pass(FaultPoint::ViewRecorder, None);
        self.begin(ctx);
    }
}
