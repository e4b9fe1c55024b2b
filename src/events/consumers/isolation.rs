//! Events that may have ended the process of an instance.
//!
//! An event that ends the process, for example because its handler exhausts the memory or the stack, leaves no trace: the
//! transaction with its failure is never committed, and the next owner of the partition would die of it again. When an
//! instance takes a partition over from an owner that did not release it, it therefore isolates the events that the former
//! owner may have been handling: the next batch after the position, and deferred events that are due. Isolated events are
//! deferred and then attempted one by one. Each attempt is counted in its own transaction before it begins, so after
//! `events.max_attempts` the event becomes a dead letter, and the innocent ones have been handled.

use std::cell::Cell;

use super::handling::{FailedHead, Handling, SUBJECT_BATCH, subjects, to_defer};
use super::run::SUBJECT_PAGE;
use crate::error::{Error, Result};
use crate::events::envelope::Envelope;
use crate::storage::consumers::deferred::{self, NewDeferredEvent, ScheduledSubject};
use crate::storage::consumers::failures::{self, AfterFailure, Failure};
use crate::storage::consumers::isolation;
use crate::storage::consumers::leases::HeldPartition;

impl Handling<'_> {
    /// Isolates `events`, which are in order and belong to the partitions in `ends`, and the deferred events of these
    /// partitions that are due. Moves the positions of the partitions to those in `ends` and returns them.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or if the database fails.
    pub(super) async fn isolate(
        &self,
        events: &[&Envelope],
        ends: &[HeldPartition],
    ) -> Result<Vec<HeldPartition>> {
        let name = self.consumer.name();
        let partitions: Vec<i16> = ends.iter().map(|held| held.partition).collect();
        self.transaction(async |connection| {
            let moved = self.hold(connection, ends).await?;
            let limits = (SUBJECT_PAGE, SUBJECT_BATCH);
            isolation::isolate_due(connection, name, partitions.clone(), limits).await?;
            if !events.is_empty() {
                let isolated =
                    events.iter().map(|event| NewDeferredEvent { is_isolated: true, ..to_defer(event) });
                let isolated: Vec<NewDeferredEvent<'_>> = isolated.collect();
                deferred::defer(connection, name, &isolated).await?;
                deferred::schedule_heads(connection, name, subjects(events)).await?;
            }
            Ok(moved)
        })
        .await
    }

    /// Attempts the isolated head of a subject alone.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or if the database fails.
    pub(super) async fn retry_isolated(
        &self,
        scheduled: &ScheduledSubject,
        held: &[HeldPartition],
    ) -> Result<()> {
        let subject = scheduled.subject;
        if let Some(exhausted) = self.count_attempt(scheduled, held).await? {
            return self.record_retry_failure(subject, exhausted, held, &self.lost_instance()).await;
        }
        let (head, failed_at) = (Cell::new(None), Cell::new(None));
        match (self.retry_batch(subject, held, 1, &head, &failed_at).await, failed_at.get()) {
            (Ok(()), _) => Ok(()),
            (Err(error @ (Error::LeaseLost | Error::Unavailable { .. })), None) => Err(error),
            (Err(error), _) => {
                let Some(head) = head.take() else { return Err(error) };
                self.record_retry_failure(subject, head, held, &error).await
            }
        }
    }

    /// Counts the next attempt at the head of a subject as failed, until its result is known. Returns the head instead if it
    /// has no attempts left.
    async fn count_attempt(
        &self,
        scheduled: &ScheduledSubject,
        held: &[HeldPartition],
    ) -> Result<Option<FailedHead>> {
        let (name, settings) = (self.consumer.name(), &self.resources.settings.events);
        self.transaction(async |connection| {
            self.hold(connection, held).await?;
            let first = deferred::first_of_subject(connection, name, scheduled.subject, 1).await?;
            let Some(head) = first.into_iter().find(|head| !head.is_dead) else { return Ok(None) };
            if head.attempts >= settings.max_attempts {
                return Ok(Some(FailedHead::of(&head)));
            }
            let attempt = head.attempts + 1;
            let after = AfterFailure::Retry(self.pause_after(attempt));
            let failure = Failure::new(attempt, after, &self.lost_instance());
            failures::record_failure(connection, name, head.event.id, failure).await?;
            Ok(None)
        })
        .await
    }

    /// The error of an attempt that was neither committed nor recorded as failed.
    fn lost_instance(&self) -> Error {
        let after = self.resources.settings.events.lease();
        Error::Timeout { what: "the instance of the last attempt", after }
    }
}
