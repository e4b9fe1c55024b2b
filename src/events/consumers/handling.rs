//! Handling events in transactions, and deferring those that fail.
//!
//! A transaction first locks the rows of the partitions, which fails if a lease was lost. It then handles a batch, records
//! each event in the inbox, and moves the positions. If the handler fails at one event, the transaction is rolled back. The
//! events before that event are handled again without it, the event is deferred, and handling continues after it. New
//! events of a subject with a deferred event are deferred behind it, so the events of a subject are handled in order.

use std::cell::Cell;
use std::collections::HashSet;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use slog::{error, warn};
use uuid::Uuid;

use super::leases::expect_all;
use super::{AnyConsumer, OnDeadLetter};
use crate::domain::ids::EventId;
use crate::error::{Error, Result};
use crate::events::envelope::Envelope;
use crate::resources::Resources;
use crate::storage::consumers::deferred::{DeferredEvent, NewDeferredEvent, ScheduledSubject};
use crate::storage::consumers::failures::{self, AfterFailure, Failure};
use crate::storage::consumers::leases::HeldPartition;
use crate::storage::consumers::{deferred, inbox, leases, partition_of};
use crate::storage::transaction::{self, Abort};
use crate::supervision::limited::run_limited;
use crate::telemetry::labels::label_values;

/// How much longer than one attempt a transaction may be idle before PostgreSQL ends it.
const IDLE_GRACE: Duration = Duration::from_secs(5);
/// The maximum number of deferred events of one subject that one transaction handles.
pub(super) const SUBJECT_BATCH: u32 = 100;

label_values! {
    /// The result of an attempt at an event.
    pub enum HandlingResult {
        Handled = "handled",
        /// The event will be attempted again.
        Failed = "failed",
        /// The last attempt failed.
        DeadLetter = "dead_letter",
    }
}

/// Handles events of one consumer in the partitions that this instance holds.
pub(super) struct Handling<'a> {
    pub(super) resources: &'a Resources,
    pub(super) consumer: &'a dyn AnyConsumer,
}

impl Handling<'_> {
    /// Handles or defers `events`, which are in order and belong to the partitions in `ends`. Moves the positions of these
    /// partitions to those in `ends` and returns them.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or if the database fails. Then only the first part of the events has been handled, up to the
    /// stored positions.
    pub(super) async fn handle(
        &self,
        events: &[&Envelope],
        ends: &[HeldPartition],
    ) -> Result<Vec<HeldPartition>> {
        let batch = self.resources.settings.events.batch as usize;
        let mut rest = events;
        let mut limit = batch;
        loop {
            let (batch_events, after) = rest.split_at_checked(limit).unwrap_or((rest, &[]));
            let positions = positions_before(after, ends);
            let failed_at = Cell::new(None);
            let held = match (self.attempt(batch_events, &positions, &failed_at).await, failed_at.get()) {
                (Ok(held), _) => {
                    rest = after;
                    held
                }
                (Err(error @ (Error::LeaseLost | Error::Unavailable { .. })), None) => return Err(error),
                (Err(_), Some(failed_at @ 1..)) => {
                    limit = failed_at;
                    continue;
                }
                // The transaction failed outside of the handler, perhaps because of one of its events.
                (Err(_), None) if batch_events.len() > 1 => {
                    limit = batch_events.len() / 2;
                    continue;
                }
                (Err(error), _) => {
                    let Some((failed, after)) = rest.split_first() else { return Err(error) };
                    rest = after;
                    self.defer_failed(failed, &positions_before(after, ends), &error).await?
                }
            };
            if rest.is_empty() {
                return Ok(held);
            }
            limit = batch;
        }
    }

    /// Handles a batch in one transaction. Sets `failed_at` to the index of the event whose handler failed.
    async fn attempt(
        &self,
        batch: &[&Envelope],
        positions: &[HeldPartition],
        failed_at: &Cell<Option<usize>>,
    ) -> Result<Vec<HeldPartition>> {
        let name = self.consumer.name();
        let handled = Cell::new(0);
        let moved = self
            .transaction(async |connection| {
                let moved = self.hold(connection, positions).await?;
                if batch.is_empty() {
                    return Ok(moved);
                }
                let blocked = deferred::blocked_subjects(connection, name, subjects(batch)).await?;
                let is_blocked = |event: &&&Envelope| blocked.contains(&event.subject);
                let behind: Vec<NewDeferredEvent<'_>> =
                    batch.iter().filter(is_blocked).map(|event| to_defer(event)).collect();
                if !behind.is_empty() {
                    deferred::defer(connection, name, &behind).await?;
                }
                let ready: Vec<(EventId, i64)> = batch
                    .iter()
                    .filter(|event| !is_blocked(event))
                    .map(|event| (event.id, event.offset))
                    .collect();
                let new: HashSet<EventId> = match ready.as_slice() {
                    [] => HashSet::new(),
                    ready => inbox::record(connection, name, ready).await?.into_iter().collect(),
                };
                for (index, event) in batch.iter().enumerate().filter(|(_, event)| new.contains(&event.id)) {
                    if let Err(error) = self.run_handler(event, connection).await {
                        failed_at.set(Some(index));
                        return Err(error.into());
                    }
                }
                transaction::expect_intact(connection).await?;
                handled.set(new.len());
                Ok(moved)
            })
            .await?;
        self.count(HandlingResult::Handled, handled.get());
        Ok(moved)
    }

    /// Defers an event whose first attempt failed.
    async fn defer_failed(
        &self,
        event: &Envelope,
        positions: &[HeldPartition],
        error: &Error,
    ) -> Result<Vec<HeldPartition>> {
        let name = self.consumer.name();
        let after = self.after_failure(1);
        let moved = self
            .transaction(async |connection| {
                let moved = self.hold(connection, positions).await?;
                deferred::defer(connection, name, &[to_defer(event)]).await?;
                let failure = Failure::new(1, after, error);
                failures::record_failure(connection, name, event.id, failure).await?;
                Ok(moved)
            })
            .await?;
        self.report_failure(event.id, &event.event_type, 1, after, error);
        Ok(moved)
    }

    /// Attempts the deferred events of a subject in order, until one fails or none is left.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or if the database fails.
    pub(super) async fn retry(&self, scheduled: &ScheduledSubject, held: &[HeldPartition]) -> Result<()> {
        let held: Vec<HeldPartition> =
            held.iter().copied().filter(|held| held.partition == scheduled.partition).collect();
        if scheduled.is_isolated {
            return self.retry_isolated(scheduled, &held).await;
        }
        let mut limit = SUBJECT_BATCH;
        loop {
            let (head, failed_at) = (Cell::new(None), Cell::new(None));
            let retried = self.retry_batch(scheduled.subject, &held, limit, &head, &failed_at).await;
            match (retried, failed_at.get()) {
                (Ok(()), _) => return Ok(()),
                (Err(error @ (Error::LeaseLost | Error::Unavailable { .. })), None) => return Err(error),
                (Err(_), Some(failed_at @ 1..)) => limit = failed_at,
                (Err(_), None) if limit > 1 => limit = 1,
                (Err(error), _) => {
                    let Some(head) = head.take() else { return Err(error) };
                    return self.record_retry_failure(scheduled.subject, head, &held, &error).await;
                }
            }
        }
    }

    /// Attempts the first deferred events of a subject in one transaction. Sets `head` to the first one, and `failed_at`
    /// to the index of the event whose handler failed.
    pub(super) async fn retry_batch(
        &self,
        subject: Uuid,
        held: &[HeldPartition],
        limit: u32,
        head: &Cell<Option<FailedHead>>,
        failed_at: &Cell<Option<u32>>,
    ) -> Result<()> {
        let name = self.consumer.name();
        let handled = Cell::new(0);
        self.transaction(async |connection| {
            self.hold(connection, held).await?;
            let first = deferred::first_of_subject(connection, name, subject, limit).await?;
            let waiting = together(first);
            if waiting.is_empty() {
                return Ok(deferred::unschedule(connection, name, vec![subject]).await?);
            }
            let ids: Vec<Uuid> = waiting.iter().map(|deferred| deferred.id).collect();
            let keys: Vec<(EventId, i64)> =
                waiting.iter().map(|deferred| (deferred.event.id, deferred.event.offset)).collect();
            head.set(waiting.first().map(FailedHead::of));
            let new = inbox::record(connection, name, &keys).await?;
            for (index, deferred) in (0..).zip(waiting) {
                let event = Envelope::from(deferred.event);
                if new.contains(&event.id)
                    && let Err(error) = self.run_handler(&event, connection).await
                {
                    failed_at.set(Some(index));
                    return Err(error.into());
                }
            }
            deferred::remove(connection, &ids).await?;
            deferred::schedule_heads(connection, name, vec![subject]).await?;
            handled.set(new.len());
            Ok(())
        })
        .await?;
        self.count(HandlingResult::Handled, handled.get());
        Ok(())
    }

    pub(super) async fn record_retry_failure(
        &self,
        subject: Uuid,
        head: FailedHead,
        held: &[HeldPartition],
        error: &Error,
    ) -> Result<()> {
        let name = self.consumer.name();
        let FailedHead { attempt, .. } = head;
        let after = self.after_failure(attempt);
        self.transaction(async |connection| {
            self.hold(connection, held).await?;
            let failure = Failure::new(attempt, after, error);
            failures::record_failure(connection, name, head.id, failure).await?;
            if after == (AfterFailure::GiveUp { blocks_subject: false }) {
                deferred::schedule_heads(connection, name, vec![subject]).await?;
            }
            Ok(())
        })
        .await?;
        self.report_failure(head.id, &head.event_type, attempt, after, error);
        Ok(())
    }

    async fn run_handler(&self, event: &Envelope, connection: &mut AsyncPgConnection) -> Result<()> {
        let limit = self.resources.settings.events.handler_timeout();
        run_limited("the handler of an event", limit, self.consumer.handle(event, connection)).await?
    }

    /// Locks the partitions and moves their positions forward.
    pub(super) async fn hold(
        &self,
        connection: &mut AsyncPgConnection,
        held: &[HeldPartition],
    ) -> Result<Vec<HeldPartition>> {
        let lease = self.resources.settings.events.lease();
        let found = leases::hold(connection, self.consumer.name(), held, lease).await?;
        expect_all(held, found)
    }

    pub(super) async fn transaction<R>(
        &self,
        work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
    ) -> Result<R> {
        let idle = self.resources.settings.events.handler_timeout() + IDLE_GRACE;
        let mut connection = self.resources.database.get().await?;
        transaction::once_attended(&mut connection, idle, work).await
    }

    fn after_failure(&self, attempt: i32) -> AfterFailure {
        let settings = &self.resources.settings.events;
        if attempt >= settings.max_attempts {
            let blocks_subject = self.consumer.on_dead_letter() == OnDeadLetter::Park;
            return AfterFailure::GiveUp { blocks_subject };
        }
        AfterFailure::Retry(self.pause_after(attempt))
    }

    pub(super) fn pause_after(&self, attempt: i32) -> Duration {
        self.resources.clock.jitter(self.resources.settings.events.backoff_ceiling(attempt))
    }

    fn report_failure(
        &self,
        id: EventId,
        event_type: &str,
        attempt: i32,
        after: AfterFailure,
        failure: &Error,
    ) {
        let (logger, consumer) = (&self.resources.logger, self.consumer.name());
        match after {
            AfterFailure::Retry(pause) => {
                self.count(HandlingResult::Failed, 1);
                warn!(logger, "event could not be handled; retrying"; "consumer" => consumer, "event_id" => %id,
                    "type" => event_type, "attempt" => attempt, "pause_ms" => pause.as_millis(), failure.clone());
            }
            AfterFailure::GiveUp { .. } => {
                self.count(HandlingResult::DeadLetter, 1);
                error!(logger, "event is now a dead letter"; "consumer" => consumer, "event_id" => %id,
                    "type" => event_type, "attempt" => attempt, failure.clone());
            }
        }
    }

    fn count(&self, result: HandlingResult, events: usize) {
        let labels = [self.consumer.name(), result.as_str()];
        let counter = self.resources.metrics.event_consumer_events_total.with_label_values(&labels);
        counter.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }
}

/// The first deferred event of a subject, whose attempt fails.
pub(super) struct FailedHead {
    id: EventId,
    event_type: String,
    /// The number of the attempt.
    attempt: i32,
}

impl FailedHead {
    /// The attempts at an isolated event are counted before they begin.
    pub(super) fn of(head: &DeferredEvent) -> Self {
        let attempt = head.attempts + i32::from(!head.is_isolated);
        Self { id: head.event.id, event_type: head.event.event_type.clone(), attempt }
    }
}

/// The first events that are attempted in one transaction: those before a dead letter or an isolated event, or the first one
/// alone if it is isolated.
fn together(mut first: Vec<DeferredEvent>) -> Vec<DeferredEvent> {
    let is_alone = first.first().is_some_and(|head| head.is_isolated);
    let end = first.iter().position(|deferred| deferred.is_dead || deferred.is_isolated);
    first.truncate(if is_alone { 1 } else { end.unwrap_or(first.len()) });
    first.retain(|deferred| !deferred.is_dead);
    first
}

/// The positions that leave `after` and later events unread, and are not beyond `ends`.
fn positions_before(after: &[&Envelope], ends: &[HeldPartition]) -> Vec<HeldPartition> {
    let before = after.first().map_or(i64::MAX, |next| next.offset - 1);
    ends.iter().map(|end| HeldPartition { position: end.position.min(before), ..*end }).collect()
}

pub(super) fn subjects(events: &[&Envelope]) -> Vec<Uuid> {
    let mut subjects: Vec<Uuid> = events.iter().map(|event| event.subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

pub(super) fn to_defer(event: &Envelope) -> NewDeferredEvent<'_> {
    NewDeferredEvent {
        event_id: event.id,
        event_type: &event.event_type,
        subject: event.subject,
        partition: partition_of(event.subject),
        time: event.time,
        offset: event.offset,
        request_id: event.request_id.as_ref(),
        traceparent: event.traceparent.as_deref(),
        data: event.json(),
        is_isolated: false,
    }
}
