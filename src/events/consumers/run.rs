//! The run of one consumer on this instance: reads events and passes them to the handler, round by round.
//!
//! Without Redis, every round reads the outbox. With Redis, a reader delivers the entries of the streams, and the outbox is
//! read when the stream lacks events, after the partitions have changed, and at intervals. The latter moves the positions of
//! partitions without events to the end and limits the delay if an entry never arrives.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info};

use super::AnyConsumer;
use super::groups::groups;
use super::handling::{Handling, HandlingResult};
use super::leases::Leases;
use super::stream_input::StreamInput;
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

/// The result of reading a batch of the outbox.
#[derive(Default)]
struct Progress {
    /// Whether it had events of the held partitions.
    has_events: bool,
    /// Whether there may be more.
    is_behind: bool,
}

/// One consumer on this instance.
pub struct ConsumerRun {
    resources: Resources,
    consumer: Arc<dyn AnyConsumer>,
    outbox: Arc<dyn EventBus>,
    types: TypeFilter,
    leases: Leases,
    stream_input: Option<StreamInput>,
    /// When the outbox is read although the stream delivers events, in monotonic time; `None` for at once.
    outbox_due_at: Option<Duration>,
    /// Chooses the group of partitions far behind whose turn it is.
    turn: usize,
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
        let stream_input = sources.streams.as_ref().map(start_reader).map(StreamInput::new);
        // Creates the series, so they are exported as 0 from the start.
        resources.metrics.event_consumer_lost_total.with_label_values(&[consumer.name()]);
        for result in HandlingResult::VALUES {
            resources.metrics.event_consumer_events_total.with_label_values(&[consumer.name(), result]);
        }
        for source in ReadSource::VALUES {
            let labels = [consumer.name(), source];
            resources.metrics.event_consumer_events_read_total.with_label_values(&labels);
        }
        let (resources, outbox) = (resources.clone(), Arc::clone(&sources.outbox));
        Self { resources, consumer, outbox, types, leases, stream_input, outbox_due_at: None, turn: 0 }
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
        if let Some(stream_input) = &self.stream_input {
            stream_input.follow(self.leases.held());
        }
        if self.leases.held().is_empty() {
            return Ok(NextRound::WhenPublished);
        }
        self.isolate_in_flight().await?;
        let is_behind =
            if self.reads_outbox() { self.handle_published().await? } else { self.handle_streamed().await? };
        if let Some(stream_input) = &mut self.stream_input {
            stream_input.acknowledge(self.leases.held(), &self.resources).await;
        }
        let next = self.retry_deferred().await?;
        Ok(if is_behind { NextRound::Now } else { next })
    }

    /// Whether this round reads the outbox instead of the stream. While entries are waiting, the periodic read of the outbox
    /// is postponed, but not for long: it also moves the positions of partitions without events.
    fn reads_outbox(&self) -> bool {
        let Some((stream_input, due_at)) = self.stream_input.as_ref().zip(self.outbox_due_at) else {
            return true;
        };
        let overdue_at = due_at + self.poll_interval() * 10;
        let now = self.resources.clock.monotonic();
        !stream_input.delivers() || now >= due_at && !stream_input.has_batch() || now >= overdue_at
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
        let Some(stream_input) = self.stream_input.as_mut().filter(|stream_input| stream_input.has_batch())
        else {
            return Ok(false);
        };
        let end = self.outbox.position().await?;
        let Some(selection) = stream_input.take(held, end) else { return Ok(false) };
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

    /// Handles the next batch of events of the outbox: of the foremost partitions, and of one group of partitions far
    /// behind, if there is one. Returns whether there may be more.
    async fn handle_published(&mut self) -> Result<bool> {
        let end = self.outbox.position().await?;
        let mut groups = groups(self.leases.held(), self.resources.settings.events.batch).into_iter();
        let Some(foremost) = groups.next() else { return Ok(false) };
        let Progress { has_events, is_behind } = self.handle_next(&foremost, end).await?;
        let far_behind: Vec<_> = groups.collect();
        if let Some(turn) = self.turn.checked_rem(far_behind.len()) {
            self.turn = self.turn.wrapping_add(1);
            if let Some(group) = far_behind.get(turn) {
                self.handle_next(group, end).await?;
            }
            return Ok(true);
        }
        if !is_behind {
            self.outbox_due_at = Some(self.resources.clock.monotonic() + self.poll_interval());
            if let Some(stream_input) = &mut self.stream_input {
                stream_input.outbox_read(has_events);
            }
        }
        Ok(is_behind)
    }

    /// Handles the next batch of events of some partitions.
    async fn handle_next(&mut self, held: &[HeldPartition], end: Position) -> Result<Progress> {
        let Some((events, ends)) = self.read_next(held, end).await? else { return Ok(Progress::default()) };
        let moved = self.handle(&events, &ends).await?;
        self.leases.moved(moved);
        let is_behind = ends.iter().any(|held| held.position < end.offset);
        Ok(Progress { has_events: !events.is_empty(), is_behind })
    }

    /// Isolates the events that the former owners of partitions may have been handling when they died.
    async fn isolate_in_flight(&mut self) -> Result<()> {
        let mut taken_over = self.leases.taken_over();
        if taken_over.is_empty() {
            return Ok(());
        }
        let end = self.outbox.position().await?;
        // The batch of the former owner began at the position of the partition or before it.
        taken_over.sort_by_key(|held| held.position);
        for held in taken_over.chunk_by(|one, next| one.position == next.position) {
            self.isolate_batch(held.to_vec(), end).await?;
            self.leases.isolated(held);
        }
        Ok(())
    }

    /// Isolates the events of some partitions that one batch can contain: those of one read of the outbox, or as many
    /// entries of streams, which contain only the events of their partitions.
    async fn isolate_batch(&mut self, mut held: Vec<HeldPartition>, end: Position) -> Result<()> {
        let handling = Handling { resources: &self.resources, consumer: &*self.consumer };
        let mut left = self.resources.settings.events.batch as usize;
        loop {
            let next = self.read_next(&held, end).await?;
            let is_at_end = next.is_none() || self.stream_input.is_none();
            let (events, ends) = next.unwrap_or_else(|| (Vec::new(), held.clone()));
            held = handling.isolate(&self.wanted(&events), &ends).await?;
            self.leases.moved(held.clone());
            left = left.saturating_sub(events.len());
            if is_at_end || left == 0 {
                return Ok(());
            }
        }
    }

    /// Reads the next batch of the outbox after the lowest position of some partitions. Returns the unread events of these
    /// partitions, and the partitions with the positions after the batch; `None` at the end of the sequence.
    async fn read_next(
        &self,
        held: &[HeldPartition],
        end: Position,
    ) -> Result<Option<(Vec<Envelope>, Vec<HeldPartition>)>> {
        let Some(lowest) = held.iter().map(|held| held.position).min() else { return Ok(None) };
        if end.offset <= lowest {
            return Ok(None);
        }
        let from = Position { epoch: end.epoch, offset: lowest };
        let events = self.outbox.read_after(from, self.resources.settings.events.batch).await?;
        self.report_loss(lowest, events.first().map_or(end.offset + 1, |first| first.offset));
        let last = events.last().map_or(end.offset, |last| last.offset);
        let events: Vec<Envelope> = events.into_iter().filter(|event| is_unread(event, held)).collect();
        self.count(ReadSource::Outbox, events.len());
        Ok(Some((events, held.iter().map(|held| HeldPartition { position: last, ..*held }).collect())))
    }

    /// Handles the events of the consumer's types, and moves the positions to `ends`.
    async fn handle(&self, events: &[Envelope], ends: &[HeldPartition]) -> Result<Vec<HeldPartition>> {
        let handling = Handling { resources: &self.resources, consumer: &*self.consumer };
        handling.handle(&self.wanted(events), ends).await
    }

    /// The events of the consumer's types.
    fn wanted<'e>(&self, events: &'e [Envelope]) -> Vec<&'e Envelope> {
        events.iter().filter(|event| self.types.contains(&event.event_type)).collect()
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
