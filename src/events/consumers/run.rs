//! The run of one consumer on this instance: reads events and passes them to the handler, round by round.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info};

use super::AnyConsumer;
use super::groups::groups;
use super::handling::{Handling, HandlingResult};
use super::leases::Leases;
use super::type_filter::TypeFilter;
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::bus::EventBus;
use crate::events::envelope::Envelope;
use crate::resources::Resources;
use crate::storage::consumers::leases::HeldPartition;
use crate::storage::consumers::{deferred, partition_of};

/// The number of subjects with deferred events that are read at a time.
pub(super) const SUBJECT_PAGE: u32 = 100;

/// When the next round is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRound {
    /// There is more to do.
    Now,
    /// A deferred event becomes due after this time.
    After(Duration),
    /// When events have been published.
    WhenPublished,
}

/// One consumer on this instance.
pub struct ConsumerRun {
    resources: Resources,
    consumer: Arc<dyn AnyConsumer>,
    bus: Arc<dyn EventBus>,
    types: TypeFilter,
    leases: Leases,
    /// Chooses the group of partitions far behind whose turn it is.
    turn: usize,
}

impl ConsumerRun {
    /// A run that reads events from `bus` and holds no partition yet.
    pub fn new(resources: &Resources, consumer: Arc<dyn AnyConsumer>, bus: Arc<dyn EventBus>) -> Self {
        let (types, leases) = (consumer.event_types(), Leases::new(consumer.name(), resources));
        // Creates the series, so they are exported as 0 from the start.
        resources.metrics.event_consumer_lost_total.with_label_values(&[consumer.name()]);
        for result in HandlingResult::VALUES {
            resources.metrics.event_consumer_events_total.with_label_values(&[consumer.name(), result]);
        }
        Self { resources: resources.clone(), consumer, bus, types, leases, turn: 0 }
    }

    /// Renews the leases, handles the next events of the held partitions, and attempts deferred events that are due.
    ///
    /// # Errors
    /// If the database or the bus fails. The next round continues at the stored positions.
    pub async fn round(&mut self) -> Result<NextRound> {
        match self.work().await {
            Err(Error::LeaseLost) => {
                info!(self.resources.logger, "lease on a partition lost"; "consumer" => self.consumer.name());
                self.leases.check_soon();
                Ok(NextRound::Now)
            }
            next => {
                if next.is_err() {
                    self.leases.check_soon();
                }
                next
            }
        }
    }

    async fn work(&mut self) -> Result<NextRound> {
        self.leases.keep(&self.resources).await?;
        if self.leases.held().is_empty() {
            return Ok(NextRound::WhenPublished);
        }
        self.isolate_in_flight().await?;
        let is_behind = self.handle_published().await?;
        let next = self.retry_deferred().await?;
        Ok(if is_behind { NextRound::Now } else { next })
    }

    /// Releases the partitions, so other instances can continue immediately.
    pub async fn release(&mut self) {
        self.leases.release(&self.resources).await;
    }

    /// Handles the next batch of events of the foremost partitions, and of one group of partitions far behind, if there
    /// is one. Returns whether there may be more.
    async fn handle_published(&mut self) -> Result<bool> {
        let end = self.bus.position().await?;
        let mut groups = groups(self.leases.held(), self.resources.settings.events.batch).into_iter();
        let Some(foremost) = groups.next() else { return Ok(false) };
        let is_behind = self.handle_next(&foremost, end).await?;
        let far_behind: Vec<_> = groups.collect();
        let Some(turn) = self.turn.checked_rem(far_behind.len()) else { return Ok(is_behind) };
        self.turn = self.turn.wrapping_add(1);
        if let Some(group) = far_behind.get(turn) {
            self.handle_next(group, end).await?;
        }
        Ok(true)
    }

    /// Handles the next batch of events of some partitions. Returns whether there may be more.
    async fn handle_next(&mut self, held: &[HeldPartition], end: Position) -> Result<bool> {
        let Some((events, last)) = self.read_next(held, end).await? else { return Ok(false) };
        let handling = Handling { resources: &self.resources, consumer: &*self.consumer };
        let moved = handling.handle(&self.wanted(&events, held), held, last).await?;
        self.leases.moved(moved);
        Ok(last < end.offset)
    }

    /// Isolates the events that the former owners of partitions may have been handling when they died.
    async fn isolate_in_flight(&mut self) -> Result<()> {
        let mut taken_over = self.leases.taken_over();
        if taken_over.is_empty() {
            return Ok(());
        }
        let end = self.bus.position().await?;
        // The batch of the former owner began at the position of the partition or before it.
        taken_over.sort_by_key(|held| held.position);
        for held in taken_over.chunk_by(|one, next| one.position == next.position) {
            let (events, last) = self.read_next(held, end).await?.unwrap_or_default();
            let handling = Handling { resources: &self.resources, consumer: &*self.consumer };
            let moved = handling.isolate(&self.wanted(&events, held), held, last).await?;
            self.leases.moved(moved);
            self.leases.isolated(held);
        }
        Ok(())
    }

    /// Reads the next batch of events after the lowest position of some partitions. Returns them with the offset of the last
    /// one, or `None` at the end of the sequence.
    async fn read_next(&self, held: &[HeldPartition], end: Position) -> Result<Option<(Vec<Envelope>, i64)>> {
        let Some(lowest) = held.iter().map(|held| held.position).min() else { return Ok(None) };
        if end.offset <= lowest {
            return Ok(None);
        }
        let from = Position { epoch: end.epoch, offset: lowest };
        let events = self.bus.read_after(from, self.resources.settings.events.batch).await?;
        self.report_loss(lowest, events.first().map_or(end.offset + 1, |first| first.offset));
        let last = events.last().map_or(end.offset, |last| last.offset);
        Ok(Some((events, last)))
    }

    fn wanted<'e>(&self, events: &'e [Envelope], held: &[HeldPartition]) -> Vec<&'e Envelope> {
        events.iter().filter(|event| self.is_wanted(event, held)).collect()
    }

    fn is_wanted(&self, event: &Envelope, held: &[HeldPartition]) -> bool {
        let partition = partition_of(event.subject);
        let is_unread = |held: &HeldPartition| held.partition == partition && held.position < event.offset;
        self.types.contains(&event.event_type) && held.iter().any(is_unread)
    }

    /// Reports events that were deleted from the outbox before this consumer read them. Offsets have no gaps.
    fn report_loss(&self, position: i64, first: i64) {
        let lost = first.saturating_sub(position).saturating_sub(1);
        if lost > 0 {
            let name = self.consumer.name();
            let counter = self.resources.metrics.event_consumer_lost_total.with_label_values(&[name]);
            counter.inc_by(u64::try_from(lost).unwrap_or(0));
            error!(self.resources.logger, "events expired before a consumer read them"; "consumer" => name,
                "position" => position, "oldest_offset" => first, "lost" => lost);
        }
    }

    async fn retry_deferred(&mut self) -> Result<NextRound> {
        let held = self.leases.held();
        let partitions = held.iter().map(|held| held.partition).collect();
        let scheduled = {
            let mut connection = self.resources.database.get().await?;
            let name = self.consumer.name();
            deferred::scheduled_subjects(&mut connection, name, partitions, SUBJECT_PAGE).await?
        };
        let handling = Handling { resources: &self.resources, consumer: &*self.consumer };
        let mut retried = false;
        for subject in scheduled.iter().filter(|subject| subject.wait.is_zero()) {
            handling.retry(subject, held).await?;
            retried = true;
        }
        // Subjects may have further events, or a time for another attempt that is not in `scheduled`.
        if retried {
            return Ok(NextRound::Now);
        }
        Ok(scheduled.first().map_or(NextRound::WhenPublished, |first| NextRound::After(first.wait)))
    }
}
