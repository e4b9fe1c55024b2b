//! Event ingestion: clients send their own events at volume, and read those of one user.
//!
//! A request's body is read into memory that was reserved for it, and split into events ([`batch`]). Each event is checked
//! without building a tree of its JSON ([`event`], [`properties`]). The valid ones wait in a queue for a writer
//! ([`ingest_writer`](crate::actors::ingest_writer)), which stores the events of many requests with one statement. The
//! request is answered after the commit, so a 200 means that its events are durable.
//!
//! Events pass neither through the job queue nor through the outbox. Nothing here logs the content of an event.
//!
//! What can go wrong: without free memory, a request is refused before its body is read. If the store is away or fails, the
//! requests in the queue fail, and their clients send them again. Events that were stored by an earlier attempt are then
//! counted as duplicates.

pub mod batch;
pub mod dead_letters;
pub mod event;
pub mod properties;
pub mod statistics;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::batch::Batch;
use self::event::RejectedEvent;
use self::statistics::{IngestFigures, IngestStatistics, Received};
pub use crate::actors::ingest_writer::{IngestQueue, Reservation};
use crate::error::Result;
use crate::resources::Resources;
use crate::storage::ingest::dead_letters::{MAX_EVENT_BYTES, NewIngestDeadLetter};
use crate::storage::ingest::{self, Stored};
pub use crate::storage::ingest::{EventListFilter, IngestedEvent};
use crate::storage::{planner, transaction};

/// The name in logs.
pub const NAME: &str = "ingest";

/// The largest number of events in a request.
pub const MAX_EVENTS: usize = 1000;
/// The largest body of a request, before and after it is decompressed, in bytes.
pub const MAX_BODY_BYTES: usize = 2 << 20;

/// The use cases of event ingestion. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    resources: Resources,
    queue: IngestQueue,
    statistics: Arc<IngestStatistics>,
}

/// What happened to the events of a request.
#[derive(Debug, Default)]
pub struct Receipt {
    /// Stored now.
    pub accepted: usize,
    /// Stored before, with the same type and properties.
    pub duplicates: usize,
    /// Another event with the same key was stored before, and is unchanged.
    pub conflicts: usize,
    /// Not valid.
    pub rejected: Vec<RejectedEvent>,
}

impl Ingest {
    pub fn new(resources: &Resources, queue: IngestQueue) -> Self {
        let statistics = Arc::new(IngestStatistics::new(&resources.clock));
        Self { resources: resources.named(NAME), queue, statistics }
    }

    /// The time that events are compared with.
    pub fn now(&self) -> DateTime<Utc> {
        self.resources.clock.now()
    }

    /// Reserves memory for a body.
    ///
    /// # Errors
    /// [`Error::Overloaded`](crate::error::Error::Overloaded) if the memory for events is used up.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation> {
        self.queue.reserve(bytes)
    }

    /// Raises a reservation to `bytes`.
    ///
    /// # Errors
    /// As [`Ingest::reserve`].
    pub fn extend(&self, reservation: &mut Reservation, bytes: usize) -> Result<()> {
        self.queue.extend(reservation, bytes)
    }

    /// Stores the valid events of a request from `account`, and returns after they are committed.
    ///
    /// # Errors
    /// As [`IngestQueue::store`].
    pub async fn store(&self, account: &str, batch: Batch, reservation: Reservation) -> Result<Receipt> {
        let started = self.resources.clock.monotonic();
        let Batch { events, rejected, .. } = batch;
        let kept = self.to_keep(account, &rejected);
        let types: Vec<_> = events.iter().map(|event| event.event_type.clone()).collect();
        let outcomes = if events.is_empty() && kept.is_empty() {
            Vec::new()
        } else {
            self.queue.store(events, kept, reservation).await?
        };
        let metrics = &self.resources.metrics.ingest_events_total;
        let refused = u64::try_from(rejected.len()).unwrap_or(u64::MAX);
        metrics.with_label_values(&["rejected"]).inc_by(refused);
        let took = self.resources.clock.monotonic().saturating_sub(started);
        self.statistics.record(&Received { account, types: &types, outcomes: &outcomes, refused, took });
        let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
        Ok(Receipt {
            accepted: count(Stored::Accepted),
            duplicates: count(Stored::Duplicate),
            conflicts: count(Stored::Conflict),
            rejected,
        })
    }

    /// The refused events that are kept as dead letters.
    fn to_keep(&self, account: &str, rejected: &[RejectedEvent]) -> Vec<NewIngestDeadLetter> {
        let limit = usize::try_from(self.resources.settings.ingest.keep_rejected).unwrap_or(usize::MAX);
        let received_at = self.now();
        let fits = rejected.iter().filter(|event| event.sent.as_bytes().len() <= MAX_EVENT_BYTES);
        let letter = |event: &RejectedEvent| NewIngestDeadLetter {
            account: account.to_owned(),
            code: event.code,
            detail: event.detail(),
            event: event.sent.clone(),
            received_at,
        };
        fits.take(limit).map(letter).collect()
    }

    /// One page of a user's events, newest first, starting after the event with the time and identifier `after`.
    ///
    /// # Errors
    /// The database's error.
    pub async fn list(
        &self,
        filter: &EventListFilter,
        after: Option<&(DateTime<Utc>, String)>,
        limit: i64,
    ) -> Result<Vec<IngestedEvent>> {
        let read = async |connection: &mut _| {
            let work =
                async |connection: &mut _| Ok(ingest::list_page(connection, filter, after, limit).await?);
            transaction::once_beginning(connection, planner::BEGIN_PRUNED, work).await
        };
        self.resources.database.run(read).await
    }

    /// What this instance received in the last minute.
    pub fn figures(&self) -> IngestFigures {
        self.statistics.figures()
    }
}
