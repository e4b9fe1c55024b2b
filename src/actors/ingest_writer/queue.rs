//! The requests whose events wait to be stored, in bounded memory.
//!
//! A request reserves memory before its body is read, and holds it until its events are stored ([`Reservation`]). All
//! reservations of an instance together are limited to `ingest.max_memory_bytes`. The limit therefore covers bodies that are
//! being received, waiting requests and groups that are being written.
//!
//! A request that times out leaves its events in the queue. They are removed when the memory is needed, or skipped when their
//! turn comes: the client has received an error and sends them again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{IntCounter, IntGauge};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::NAME;
use crate::config::IngestSettings;
use crate::error::{Error, Result};
use crate::storage::ingest::dead_letters::NewIngestDeadLetter;
use crate::storage::ingest::{NewIngestedEvent, Stored};
use crate::telemetry::metrics::Metrics;

/// The unit of reservations, in bytes.
const UNIT_BYTES: usize = 1024;
/// The memory that a waiting event needs besides its body, in bytes: the parsed event, its place in the arrays of the
/// statement, and the returned key.
const EVENT_BYTES: usize = 512;
/// `Retry-After` while there is no memory for another request.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Refused events to keep.
pub(super) type Rejections = Vec<NewIngestDeadLetter>;

/// A share of the memory for ingestion, returned when this value is dropped.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
    bytes: usize,
}

/// The events of a request, and where its outcome goes.
pub(super) struct QueuedEvents {
    pub(super) events: Vec<NewIngestedEvent>,
    pub(super) rejected: Rejections,
    reply: oneshot::Sender<Result<Vec<Stored>>>,
    _reservation: Reservation,
}

impl QueuedEvents {
    /// Answers the request. Has no effect if it no longer waits.
    pub(super) fn answer(self, outcomes: Result<Vec<Stored>>) {
        let _ = self.reply.send(outcomes);
    }
}

/// The queue of an instance. Cheap to clone.
#[derive(Clone)]
pub struct IngestQueue {
    inner: Arc<Inner>,
}

struct Inner {
    waiting: Mutex<VecDeque<QueuedEvents>>,
    added: Notify,
    memory: Arc<Semaphore>,
    /// The number of refused events kept since old ones were deleted.
    kept: AtomicUsize,
    depth: IntGauge,
    refusals: IntCounter,
}

impl IngestQueue {
    pub fn new(settings: &IngestSettings, metrics: &Metrics) -> Self {
        let inner = Inner {
            waiting: Mutex::default(),
            added: Notify::new(),
            memory: Arc::new(Semaphore::new(settings.max_memory_bytes / UNIT_BYTES)),
            kept: AtomicUsize::new(0),
            depth: metrics.ingest_queue_events.clone(),
            refusals: metrics.ingest_overloaded_total.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Reserves memory for a body.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too much is reserved already.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation> {
        Ok(Reservation { permit: self.acquire(bytes.div_ceil(UNIT_BYTES))?, bytes })
    }

    /// Raises a reservation to `bytes`. A larger reservation stays as it is.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too much is reserved already.
    pub fn extend(&self, reservation: &mut Reservation, bytes: usize) -> Result<()> {
        let units = bytes.div_ceil(UNIT_BYTES).saturating_sub(reservation.permit.num_permits());
        if units > 0 {
            reservation.permit.merge(self.acquire(units)?);
        }
        reservation.bytes = reservation.bytes.max(bytes);
        Ok(())
    }

    fn acquire(&self, units: usize) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let acquire = || Arc::clone(&self.inner.memory).try_acquire_many_owned(units).ok();
        if let Some(permit) = acquire() {
            return Ok(permit);
        }
        self.remove_abandoned();
        acquire().ok_or_else(|| {
            self.inner.refusals.inc();
            Error::Overloaded { what: NAME, retry_after: RETRY_AFTER }
        })
    }

    /// Passes events to a writer; returns what happened to each after they are committed. `rejected` are kept as dead
    /// letters.
    ///
    /// # Errors
    /// [`Error::Overloaded`] without enough memory, [`Error::Unavailable`] if the writer failed, or the database's error.
    /// Except in the first case, the events may have been stored.
    pub async fn store(
        &self,
        events: Vec<NewIngestedEvent>,
        rejected: Vec<NewIngestDeadLetter>,
        mut reservation: Reservation,
    ) -> Result<Vec<Stored>> {
        let parsed = EVENT_BYTES * (events.len() + rejected.len());
        let whole = reservation.bytes + parsed;
        self.extend(&mut reservation, whole)?;
        let (reply, outcomes) = oneshot::channel();
        self.push(QueuedEvents { events, rejected, reply, _reservation: reservation });
        outcomes.await.unwrap_or_else(|dropped| Err(Error::unavailable(NAME, dropped)))
    }

    fn push(&self, request: QueuedEvents) {
        self.inner.depth.add(length(&request));
        self.lock().push_back(request);
        self.inner.added.notify_one();
    }

    /// Waits for requests and takes them from the queue: at least one, and no more than have `max_events` events together.
    pub(super) async fn next_group(&self, max_events: usize) -> Vec<QueuedEvents> {
        loop {
            let group = self.take(max_events);
            if !group.is_empty() {
                return group;
            }
            self.inner.added.notified().await;
        }
    }

    fn take(&self, max_events: usize) -> Vec<QueuedEvents> {
        let mut waiting = self.lock();
        let (mut group, mut events) = (Vec::new(), 0);
        while let Some(request) =
            waiting.pop_front_if(|request| group.is_empty() || events + request.events.len() <= max_events)
        {
            self.inner.depth.sub(length(&request));
            if request.reply.is_closed() {
                continue;
            }
            events += request.events.len();
            group.push(request);
        }
        if !waiting.is_empty() {
            // Another writer may be free.
            self.inner.added.notify_one();
        }
        group
    }

    /// Removes the requests that no longer wait for their outcome.
    fn remove_abandoned(&self) {
        let abandoned: Vec<QueuedEvents> = {
            let mut waiting = self.lock();
            let (abandoned, rest) = waiting.drain(..).partition(|request| request.reply.is_closed());
            *waiting = VecDeque::from(rest);
            abandoned
        };
        for request in &abandoned {
            self.inner.depth.sub(length(request));
        }
    }

    /// Counts kept events. Returns whether old ones should be deleted: after each tenth of `keep`.
    pub(super) fn kept(&self, count: usize, keep: u32) -> bool {
        let kept = self.inner.kept.fetch_add(count, Ordering::Relaxed) + count;
        let is_due = kept > usize::try_from(keep / 10).unwrap_or(usize::MAX);
        if is_due {
            self.inner.kept.store(0, Ordering::Relaxed);
        }
        is_due
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<QueuedEvents>> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn length(request: &QueuedEvents) -> i64 {
    i64::try_from(request.events.len()).unwrap_or(i64::MAX)
}
