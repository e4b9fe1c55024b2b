//! The ingest writers: store the events of waiting requests in groups.
//!
//! A commit costs one disk round trip, whatever its size. A writer therefore takes the events of all waiting requests, up to
//! `ingest.group_events`, stores them with one statement, and answers each request after the commit. It never delays a
//! request to wait for others: while one group is written, the next one accumulates.
//!
//! All writers of an instance take from one queue ([`queue`]), which is bounded by the memory of its requests. When the store
//! is slow or away, the queue fills, and further requests are refused.
//!
//! A group that fails because of its content is written request by request, so only the request at fault fails. After any
//! other error all of its requests fail, and it may be unknown whether their events were stored. Clients send them again; the
//! primary key recognises the events that were stored.

mod queue;

use std::time::Duration;

use actix::prelude::*;
use slog::{debug, warn};

pub use self::queue::{IngestQueue, Reservation};
use self::queue::{QueuedEvents, Rejections};
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::ingest::{self, NewIngestedEvent, Stored, dead_letters};
use crate::storage::transaction;
use crate::supervision::handle::LivenessGuard;
use crate::telemetry::labels::label_values;
use crate::telemetry::metrics::seconds;

/// The actor's name in logs and metrics.
pub const NAME: &str = "ingest_writer";

/// How often a statement is tried after transient errors.
const MAX_ATTEMPTS: u32 = 3;
/// The pause before a statement is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

label_values! {
    /// What happened to a received event.
    pub enum EventResult {
        /// It was stored.
        Accepted = "accepted",
        /// It was already stored.
        Duplicate = "duplicate",
        /// Another event with its key was already stored.
        Conflict = "conflict",
        /// It was not valid.
        Rejected = "rejected",
    }
}

impl From<Stored> for EventResult {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Accepted => Self::Accepted,
            Stored::Duplicate => Self::Duplicate,
            Stored::Conflict => Self::Conflict,
        }
    }
}

pub struct IngestWriter {
    resources: Resources,
    queue: IngestQueue,
    _liveness: LivenessGuard,
}

impl IngestWriter {
    /// A writer that takes requests from `queue`.
    pub fn new(resources: &Resources, queue: IngestQueue, liveness: LivenessGuard) -> Self {
        Self { resources: resources.named(NAME), queue, _liveness: liveness }
    }
}

impl Actor for IngestWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        debug!(self.resources.logger, "ingest writer started");
        ctx.spawn(write_groups(self.resources.clone(), self.queue.clone()).into_actor(self));
    }
}

/// Writes groups for as long as the actor lives.
async fn write_groups(resources: Resources, queue: IngestQueue) {
    let size = resources.settings.ingest.group_events;
    loop {
        let group = queue.next_group(size).await;
        let (resources_of_group, queue) = (resources.clone(), queue.clone());
        // Runs as a separate asynchronous task, so a panic becomes an error instead of ending the actor. The requests of the
        // group get an error, because their replies are dropped.
        let task = actix_rt::spawn(async move { write(&resources_of_group, &queue, group).await });
        if let Err(panic) = task.await {
            warn!(resources.logger, "writing a group of events panicked"; "cause" => %panic);
        }
    }
}

/// Stores the events of a group and answers its requests.
async fn write(resources: &Resources, queue: &IngestQueue, mut group: Vec<QueuedEvents>) {
    keep_rejected(resources, queue, &mut group).await;
    let lengths: Vec<usize> = group.iter().map(|request| request.events.len()).collect();
    let events: Vec<NewIngestedEvent> =
        group.iter_mut().flat_map(|request| std::mem::take(&mut request.events)).collect();
    match store(resources, &events).await {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for (request, length) in group.into_iter().zip(lengths) {
                request.answer(Ok(outcomes.by_ref().take(length).collect()));
            }
        }
        Err(error) if group.len() > 1 && !error.retryable() => {
            warn!(resources.logger, "group of events failed; writing request by request"; "size" => events.len(), error);
            let mut rest = events.as_slice();
            for (request, length) in group.into_iter().zip(lengths) {
                let (own, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                request.answer(store(resources, own).await);
                rest = others;
            }
        }
        Err(error) => {
            warn!(resources.logger, "events could not be stored"; "size" => events.len(), error.clone());
            for request in group {
                request.answer(Err(error.clone()));
            }
        }
    }
}

/// Stores events and counts them. Repeats the statement after transient errors.
async fn store(resources: &Resources, events: &[NewIngestedEvent]) -> Result<Vec<Stored>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let (metrics, started) = (&resources.metrics, resources.clock.monotonic());
    let outcomes = store_repeatedly(resources, events).await?;
    metrics.ingest_write_duration_seconds.observe(seconds(resources.clock.monotonic() - started));
    metrics.ingest_group_events.observe(events.len() as f64);
    for result in [Stored::Accepted, Stored::Duplicate, Stored::Conflict] {
        let count = outcomes.iter().filter(|outcome| **outcome == result).count();
        let counter = metrics.ingest_events_total.with_label_values(&[EventResult::from(result).as_str()]);
        counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(outcomes)
}

async fn store_repeatedly(resources: &Resources, events: &[NewIngestedEvent]) -> Result<Vec<Stored>> {
    for _ in 1..MAX_ATTEMPTS {
        match ingest::store(&resources.database, resources.clock.now(), events).await {
            Err(error @ Error::Database { transient: true, .. }) => {
                debug!(resources.logger, "retrying to store events"; error);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            other => return other,
        }
    }
    ingest::store(&resources.database, resources.clock.now(), events).await
}

/// Keeps the refused events of a group as dead letters. An error is only logged, because the events of the requests must
/// be stored nevertheless.
async fn keep_rejected(resources: &Resources, queue: &IngestQueue, group: &mut [QueuedEvents]) {
    let rejected: Rejections =
        group.iter_mut().flat_map(|request| std::mem::take(&mut request.rejected)).collect();
    if rejected.is_empty() {
        return;
    }
    let keep = resources.settings.ingest.keep_rejected;
    let trims = queue.kept(rejected.len(), keep);
    let work = async |connection: &mut _| {
        dead_letters::insert(connection, rejected.clone()).await?;
        if trims { dead_letters::trim(connection, keep).await } else { Ok(0) }
    };
    let kept = async |connection: &mut _| transaction::single(connection, work).await;
    if let Err(error) = resources.database.run(kept).await {
        warn!(resources.logger, "refused events could not be kept"; error);
    }
}
