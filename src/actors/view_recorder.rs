//! The view recorder: writes down what staff looks at, in batches, off the way of the requests.
//!
//! A handler leaves a view in the [`ViewLog`] and goes on. The write batcher writes what waits when a batch is full, and
//! otherwise after `staff_views.flush_interval_ms`. The queue stands outside of the actor, and a view leaves it only after
//! its commit, so that neither a panic nor an hour without a database loses one: the next round writes it, and one that
//! was written already is left alone by its identifier. What finds the queue full is logged whole and counted: never lost
//! in silence. A shutdown writes the rest.

use std::collections::{HashSet, VecDeque};
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

/// The role's name, in logs and metrics.
pub const NAME: &str = "view_recorder";

/// A hint that a batch is full.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Wake;

/// Where views wait. Cheap to clone.
#[derive(Clone)]
pub struct ViewLog {
    inner: Arc<Inner>,
}

struct Inner {
    waiting: Mutex<VecDeque<StaffView>>,
    recorder: Handle<ViewRecorder>,
    database: Database,
    metrics: Arc<Metrics>,
    logger: Logger,
    batch_size: usize,
    capacity: usize,
}

impl ViewLog {
    /// An empty one, whose views `recorder` writes.
    pub fn new(resources: &Resources, recorder: Handle<ViewRecorder>) -> Self {
        let settings = &resources.settings.staff_views;
        let inner = Inner {
            waiting: Mutex::default(),
            recorder,
            database: resources.database.clone(),
            metrics: Arc::clone(&resources.metrics),
            logger: resources.named(NAME).logger,
            batch_size: settings.batch_size,
            capacity: settings.queue,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a view; it is written soon.
    pub fn record(&self, view: StaffView) {
        let inner = &self.inner;
        let mut waiting = inner.lock();
        if waiting.len() >= inner.capacity {
            drop(waiting);
            inner.metrics.staff_views_lost_total.inc();
            error!(inner.logger, "a look of staff is recorded here alone: too many wait for the database";
                "account" => view.account, "action" => view.action, "filter" => view.filter.to_string(),
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

    /// Writes everything that waits.
    ///
    /// # Errors
    /// When the database fails; what was not written goes on waiting.
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

    fn measure(&self, waiting: &VecDeque<StaffView>) {
        let depth = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        self.metrics.actor_mailbox_depth.with_label_values(&[NAME]).set(depth);
    }
}

/// The actor.
pub struct ViewRecorder {
    resources: Resources,
    log: ViewLog,
    rounds: Rounds,
    _liveness: LivenessGuard,
}

impl ViewRecorder {
    /// A write batcher of what waits in `log`.
    pub fn new(resources: &Resources, log: ViewLog, liveness: LivenessGuard) -> Self {
        Self { resources: resources.named(NAME), log, rounds: Rounds::default(), _liveness: liveness }
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if !self.rounds.begin() {
            return;
        }
        let log = self.log.clone();
        // A task of its own: a panic in it comes back as an error instead of ending the write batcher.
        let task = actix_rt::spawn(async move { log.flush().await });
        ctx.spawn(task.into_actor(self).map(|ended, recorder, ctx| {
            let again = recorder.rounds.end();
            match ended {
                Ok(Ok(())) if again => recorder.begin(ctx),
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    warn!(recorder.resources.logger, "views of staff are not written yet"; error)
                }
                Err(panic) => warn!(recorder.resources.logger, "writing views panicked"; "cause" => %panic),
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
