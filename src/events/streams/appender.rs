//! Appends published events to the streams, on the leading relay.
//!
//! The appender runs beside the relay, which never waits for it. It knows up to which offset the streams contain all events,
//! and reads the next ones from the outbox. A script appends a page of events if the state in Redis is the known one.
//! Otherwise, the appender reads the state ([`Appender::check`]). If data was lost, because Redis was flushed, restarted
//! without its data or replaced by an older replica, or if the epoch has changed, all streams are created again and filled
//! from the outbox. Groups of other systems that this process has seen continue at their last known place.
//!
//! The streams are also checked periodically. The check deletes entries that no group needs, and reports groups that are so
//! far behind that entries are deleted before they read them. A second appender, during a change of the leader, does no harm.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Script;
use slog::{info, warn};

use super::entry::NewEntry;
use super::inspection::{Appended, Group, Inspection, Reply};
use super::{PartitionStreams, STREAMS, dead_letters, scripts};
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::bus::EventBus as _;
use crate::events::bus::postgres::PostgresBus;
use crate::events::envelope::Envelope;
use crate::redis::Operation;
use crate::resources::Resources;
use crate::storage::consumers::partition_of;
use crate::storage::outbox;
use crate::telemetry::metrics::LeaderRole;

/// The name of this asynchronous task in logs and metrics.
pub const NAME: &str = "event_stream_appender";

/// The number of events that are read from the outbox and appended at a time.
const PAGE: u32 = 512;
/// The number of newest events that are kept even if every group has acknowledged them.
const KEPT_EVENTS: i64 = 1000;
/// The number of groups that are reported. Other systems choose the names of groups, which become label values.
const REPORTED_GROUPS: usize = 50;

/// Appends published events while this instance has the leading relay. Never returns.
pub async fn append(streams: PartitionStreams, resources: Resources) {
    let interval = resources.settings.events.claim_interval();
    let mut appender = Appender::new(streams.clone());
    let mut check_due_at = Duration::ZERO;
    loop {
        tokio::select! {
            () = streams.inner.published.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
        if !resources.metrics.leads(LeaderRole::Relay) || streams.inner.redis.is_degraded() {
            appender.known = None;
            continue;
        }
        let now = resources.clock.monotonic();
        let is_check_due = now >= check_due_at;
        if is_check_due {
            check_due_at = now + interval;
        }
        match appender.round(is_check_due).await {
            Ok(()) => {}
            Err(error) => {
                appender.known = None;
                // The Redis client logs its own unavailability.
                if !matches!(error, Error::Unavailable { .. }) {
                    warn!(resources.logger, "cannot append events to the streams; retrying"; error);
                }
            }
        }
    }
}

struct Appender {
    streams: PartitionStreams,
    outbox: PostgresBus,
    known: Option<Appended>,
    /// The groups at the last check, with the end of the streams at that time.
    groups: Option<(Position, Vec<Group>)>,
    /// The groups that have been reported, with the offset that they needed.
    left_behind: BTreeMap<String, i64>,
    append: Script,
    check: Script,
    reset: Script,
}

impl Appender {
    fn new(streams: PartitionStreams) -> Self {
        Self {
            outbox: PostgresBus::new(streams.inner.database.clone()),
            streams,
            known: None,
            groups: None,
            left_behind: BTreeMap::new(),
            append: Script::new(scripts::APPEND),
            check: Script::new(&scripts::check()),
            reset: Script::new(&scripts::reset()),
        }
    }

    /// Appends all published events that the streams lack. If a check is due, also deletes old entries and copies dead
    /// letters.
    async fn round(&mut self, is_check_due: bool) -> Result<()> {
        if !self.streams.is_suitable().await? {
            return Ok(());
        }
        if is_check_due {
            self.known = None;
        }
        let mut is_complete = false;
        while !is_complete {
            let known = match self.known.take() {
                Some(known) => known,
                None => self.check().await?,
            };
            (self.known, is_complete) = self.append_page(known).await?;
        }
        if is_check_due {
            dead_letters::copy(&self.streams).await?;
        }
        Ok(())
    }

    /// Appends the next events. Returns what the streams then contain, `None` if that is unknown; and whether no published
    /// event is missing.
    async fn append_page(&self, known: Appended) -> Result<(Option<Appended>, bool)> {
        let (epoch, end) = (known.epoch, known.end);
        let events = self.outbox.read_after(Position { epoch, offset: end }, PAGE).await?;
        let Some((first, last)) = events.first().zip(events.last()) else { return Ok((Some(known), true)) };
        let mut next = Appended { end: last.offset, ..known };
        if first.offset > end + 1 {
            // Events have expired before they were appended. Readers must notice the gap.
            next.start = first.offset - 1;
        }
        let mut script = self.append.prepare_invoke();
        self.streams.name_keys(&mut script);
        script.arg(epoch.to_string()).arg(end).arg(last.offset).arg(next.start);
        for event in &events {
            let entry = self.entry(&mut next, event)?;
            script.arg(entry.partition + 1).arg(entry.offset).arg(entry.previous);
            script.arg(entry.event).arg(entry.seal);
        }
        let appended: i64 = self.streams.inner.redis.run(Operation::EventsAppend, &script).await?;
        let is_complete = events.len() < PAGE as usize;
        Ok(if appended == 1 { (Some(next), is_complete) } else { (None, false) })
    }

    fn entry(&self, next: &mut Appended, event: &Envelope) -> Result<NewEntry> {
        let partition = partition_of(event.subject);
        let index = usize::try_from(partition).map_err(Error::internal)?;
        let last = next.last.get_mut(index).ok_or_else(|| Error::internal("there is no such partition"))?;
        let previous = std::mem::replace(last, event.offset).max(next.start);
        let keys = self.streams.inner.database.keys();
        NewEntry::new(keys, self.streams.key(partition), (partition, previous), event, next.epoch)
    }

    /// Reads what the streams contain and deletes entries that no group needs. If the streams have lost data or belong to
    /// another epoch, creates them again.
    async fn check(&mut self) -> Result<Appended> {
        let mut end = self.outbox.position().await?;
        let oldest = self.streams.inner.database.run(outbox::oldest_offset).await?;
        let max_events = i64::from(self.streams.inner.settings.stream_max_events);
        let bound = oldest.map_or(end.offset, |oldest| oldest - 1).max(end.offset - max_events).max(0);
        let found = self.inspect(bound, (end.offset - KEPT_EVENTS).max(0)).await?;
        if found.end().is_some_and(|found| found > end.offset) {
            // Another relay has published and appended meanwhile, or the database has lost events.
            end = self.outbox.position().await?;
        }
        let is_new_epoch = found.is_of_other_epoch(end.epoch);
        if !is_new_epoch {
            self.report(&found.groups, bound, end.offset);
        }
        match found.appended(end).filter(|found| found.end >= bound) {
            Some(known) => {
                self.groups = Some((Position { epoch: end.epoch, offset: known.end }, found.groups));
                Ok(known)
            }
            None => self.create(end, bound, is_new_epoch).await,
        }
    }

    async fn inspect(&self, bound: i64, kept_after: i64) -> Result<Inspection> {
        let mut script = self.check.prepare_invoke();
        self.streams.name_keys(&mut script);
        script.arg(bound + 1).arg(kept_after + 1);
        let reply: Reply = self.streams.inner.redis.run(Operation::EventsCheck, &script).await?;
        Ok(Inspection::from(reply))
    }

    /// Creates the streams again. They begin with the oldest event that a known group needs, or with the oldest one that they
    /// may contain.
    async fn create(&self, end: Position, bound: i64, is_new_epoch: bool) -> Result<Appended> {
        let groups = self.groups.as_ref();
        let resume = |at: &Position, group: &Group| if group.needs > 0 { group.needs - 1 } else { at.offset };
        let needed = groups
            .filter(|(at, _)| at.epoch == end.epoch)
            .and_then(|(at, groups)| groups.iter().map(|group| resume(at, group)).min());
        let start = needed.map_or(bound, |needed| needed.clamp(bound, end.offset.max(bound)));
        let mut script = self.reset.prepare_invoke();
        self.streams.name_keys(&mut script);
        script.arg(end.epoch.to_string()).arg(start).arg(u8::from(!is_new_epoch));
        if let Some((at, groups)) = groups {
            for group in groups {
                script.arg(group.stream + 1).arg(&group.name).arg(format!("{}-1", resume(at, group)));
            }
        }
        self.streams.inner.redis.run::<i64>(Operation::EventsReset, &script).await?;
        info!(self.streams.inner.logger, "event streams created; appending events from the outbox";
            "after" => start, "end" => end.offset);
        Ok(Appended { epoch: end.epoch, start, end: start, last: [0; STREAMS] })
    }

    /// Reports how far the groups are behind. Entries up to `bound` have just been deleted.
    fn report(&mut self, groups: &[Group], bound: i64, end: i64) {
        let gauges = &self.streams.inner.metrics.event_stream_group_lag_events;
        gauges.reset();
        let mut oldest: BTreeMap<&str, i64> = BTreeMap::new();
        for group in groups {
            let needs = if group.needs > 0 { group.needs } else { i64::MAX };
            oldest.entry(&group.name).and_modify(|oldest| *oldest = needs.min(*oldest)).or_insert(needs);
        }
        let reported = std::mem::take(&mut self.left_behind);
        for (group, needs) in oldest.into_iter().take(REPORTED_GROUPS) {
            let lag = end.saturating_add(1).saturating_sub(needs).max(0);
            gauges.with_label_values(&[group]).set(lag as f64);
            if needs > bound {
                continue;
            }
            self.left_behind.insert(group.to_owned(), needs);
            if reported.get(group) != Some(&needs) {
                warn!(self.streams.inner.logger, "entries were deleted before a consumer group acknowledged them";
                    "group" => group, "oldest_needed" => needs, "oldest_kept" => bound + 1, "behind" => lag);
            }
        }
    }
}
