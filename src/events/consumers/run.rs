//! The run of one consumer on this instance: reads events and passes them to the handler, round by round.
//!
//! Without Redis, every round reads the outbox. With Redis, a reader delivers the entries of the streams, and the outbox is
//! read when the stream lacks events, after the partitions have changed, and at intervals. The latter moves the positions of
//! partitions without events to the end and limits the delay if an entry never arrives.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info};

use super::AnyConsumer;
use super::handling::{Handling, HandlingResult};
use super::intake::Intake;
use super::leases::Leases;
use super::type_filter::TypeFilter;
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::bus::EventBus;
use crate::events::envelope::Envelope;
use crate::events::streams::{OnBatch, PartitionStreams, StreamReader};
use crate::resources::Resources;
use crate::storage::consumers::leases::HeldPartition;
use crate::storage::consumers::{deferred, partition_of};
use crate::telemetry::labels::label_values;

/// The number of subjects with deferred events that are read at a time.
const SUBJECT_PAGE: u32 = 100;

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

/// Where consumers read events. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    pub outbox: Arc<dyn EventBus>,
    /// `None` if the streams are not used.
    pub streams: Option<PartitionStreams>,
}

label_values! {
    /// Where a consumer read an event.
    pub enum ReadSource {
        Stream = "stream",
        Outbox = "outbox",
    }
}

/// One consumer on this instance.
pub struct ConsumerRun {
    resources: Resources,
    consumer: Arc<dyn AnyConsumer>,
    outbox: Arc<dyn EventBus>,
    types: TypeFilter,
    leases: Leases,
    intake: Option<Intake>,
    /// When the outbox is read although the stream delivers events, in monotonic time; `None` for at once.
    outbox_due_at: Option<Duration>,
}

impl ConsumerRun {
    /// A run that reads events from `sources` and holds no partition yet. `on_batch` is called when a stream has entries.
    pub fn new(
        resources: &Resources,
        consumer: Arc<dyn AnyConsumer>,
        sources: &Sources,
        on_batch: OnBatch,
    ) -> Self {
        let (types, leases) = (consumer.event_types(), Leases::new(consumer.name(), resources));
        let start_reader = |streams: &PartitionStreams| {
            StreamReader::start(streams.clone(), consumer.name(), &resources.instance, on_batch)
        };
        let intake = sources.streams.as_ref().map(start_reader).map(Intake::new);
        // Creates the series, so they are exported as 0 from the start.
        resources.metrics.event_consumer_lost_total.with_label_values(&[consumer.name()]);
        for result in HandlingResult::VALUES {
            resources.metrics.event_consumer_events_total.with_label_values(&[consumer.name(), result]);
        }
        for source in ReadSource::VALUES {
            let labels = [consumer.name(), source];
            resources.metrics.event_consumer_events_read_total.with_label_values(&labels);
        }
        let outbox = Arc::clone(&sources.outbox);
        Self { resources: resources.clone(), consumer, outbox, types, leases, intake, outbox_due_at: None }
    }

    /// Renews the leases, handles the next events of the held partitions, and attempts deferred events that are due.
    ///
    /// # Errors
    /// If the database or the bus fails. The next round continues at the stored positions.
    pub async fn round(&mut self) -> Result<NextRound> {
        match self.work().await {
            Err(Error::LeaseLost) => {
                info!(self.resources.logger, "lease on a partition lost"; "consumer" => self.consumer.name());
                self.start_over();
                Ok(NextRound::Now)
            }
            next => {
                if next.is_err() {
                    self.start_over();
                }
                next
            }
        }
    }

    /// Makes the next round read the positions again. Events of a batch whose handling failed are in the outbox.
    fn start_over(&mut self) {
        self.leases.check_soon();
        self.outbox_due_at = None;
    }

    async fn work(&mut self) -> Result<NextRound> {
        if self.leases.keep(&self.resources).await? {
            self.outbox_due_at = None;
        }
        if let Some(intake) = &self.intake {
            intake.follow(self.leases.held());
        }
        if self.leases.held().is_empty() {
            return Ok(NextRound::WhenPublished);
        }
        let is_behind =
            if self.reads_outbox() { self.handle_published().await? } else { self.handle_streamed().await? };
        if let Some(intake) = &mut self.intake {
            intake.acknowledge(self.leases.held(), &self.resources).await;
        }
        let next = self.retry_deferred().await?;
        Ok(if is_behind { NextRound::Now } else { next })
    }

    /// Whether this round reads the outbox instead of the stream. While entries are waiting, the periodic read of the outbox
    /// is postponed, but not for long: it also moves the positions of partitions without events.
    fn reads_outbox(&self) -> bool {
        let Some((intake, due_at)) = self.intake.as_ref().zip(self.outbox_due_at) else { return true };
        let overdue_at = due_at + self.poll_interval() * 10;
        let now = self.resources.clock.monotonic();
        !intake.delivers() || now >= due_at && !intake.has_batch() || now >= overdue_at
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.resources.settings.outbox.poll_interval_ms)
    }

    fn count(&self, source: ReadSource, events: usize) {
        let labels = [self.consumer.name(), source.as_str()];
        let counter = self.resources.metrics.event_consumer_events_read_total.with_label_values(&labels);
        counter.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }

    /// Releases the partitions, so other instances can continue immediately.
    pub async fn release(&mut self) {
        self.leases.release(&self.resources).await;
    }

    /// Handles the next batch of entries, if one is ready. Returns whether there may be more.
    async fn handle_streamed(&mut self) -> Result<bool> {
        let held = self.leases.held();
        let Some(intake) = self.intake.as_mut().filter(|intake| intake.has_batch()) else { return Ok(false) };
        let end = self.outbox.position().await?;
        let Some(selection) = intake.take(held, end) else { return Ok(false) };
        if selection.has_gap {
            self.outbox_due_at = None;
        }
        if selection.ends != held {
            self.count(ReadSource::Stream, selection.events.len());
            let moved = self.handle(&selection.events, &selection.ends).await?;
            self.leases.moved(moved);
        }
        Ok(true)
    }

    /// Handles the next batch of events of the outbox. Returns whether there may be more.
    async fn handle_published(&mut self) -> Result<bool> {
        let held = self.leases.held();
        let Some(lowest) = held.iter().map(|held| held.position).min() else { return Ok(false) };
        let end = self.outbox.position().await?;
        let mut has_events = false;
        let mut is_behind = false;
        if end.offset > lowest {
            let from = Position { epoch: end.epoch, offset: lowest };
            let events = self.outbox.read_after(from, self.resources.settings.events.batch).await?;
            self.report_loss(lowest, events.first().map_or(end.offset + 1, |first| first.offset));
            let last = events.last().map_or(end.offset, |last| last.offset);
            let ends: Vec<HeldPartition> =
                held.iter().map(|held| HeldPartition { position: last, ..*held }).collect();
            let unread = |event: &Envelope| is_unread(event, held);
            let events: Vec<Envelope> = events.into_iter().filter(unread).collect();
            has_events = !events.is_empty();
            is_behind = last < end.offset;
            self.count(ReadSource::Outbox, events.len());
            let moved = self.handle(&events, &ends).await?;
            self.leases.moved(moved);
        }
        if !is_behind {
            self.outbox_due_at = Some(self.resources.clock.monotonic() + self.poll_interval());
            if let Some(intake) = &mut self.intake {
                intake.outbox_read(has_events);
            }
        }
        Ok(is_behind)
    }

    /// Handles the events of the consumer's types, and moves the positions to `ends`.
    async fn handle(&self, events: &[Envelope], ends: &[HeldPartition]) -> Result<Vec<HeldPartition>> {
        let wanted: Vec<&Envelope> =
            events.iter().filter(|event| self.types.contains(&event.event_type)).collect();
        let handling = Handling { resources: &self.resources, consumer: &*self.consumer };
        handling.handle(&wanted, ends).await
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

/// Whether an event belongs to a held partition and is beyond its position.
fn is_unread(event: &Envelope, held: &[HeldPartition]) -> bool {
    let partition = partition_of(event.subject);
    held.iter().any(|held| held.partition == partition && held.position < event.offset)
}
