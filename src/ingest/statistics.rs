//! What this instance received in the last minute: rates, latencies, and the accounts and types with the most events.
//!
//! The figures are kept in slots of five seconds, in bounded memory: each slot counts at most [`MAX_NAMES`] accounts and
//! types, and everything beyond that under one name. Prometheus has the long-term figures.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::storage::ingest::{SharedText, Stored};

/// The length of a slot.
const SLOT: Duration = Duration::from_secs(5);
/// The number of slots.
const SLOTS: usize = 12;
/// The largest number of accounts and of types that a slot counts individually.
const MAX_NAMES: usize = 200;
/// The largest number of accounts and of types in the figures.
const MAX_LISTED: usize = 20;
/// The name that the rest is counted under. It cannot be the name of an account or a type.
const REST: &str = "(other)";

/// The buckets of latencies per power of two, so a percentile is at most an eighth too high.
const BUCKETS_PER_POWER: u64 = 8;
/// The largest power of two that is distinguished, in microseconds: 18 minutes.
const MAX_POWER: u64 = 30;

/// The results of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    pub accepted: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    pub rejected: u64,
}

impl EventCounts {
    fn record(&mut self, outcome: Stored) {
        match outcome {
            Stored::Accepted => self.accepted += 1,
            Stored::Duplicate => self.duplicates += 1,
            Stored::Conflict => self.conflicts += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.rejected += other.rejected;
    }

    fn total(self) -> u64 {
        self.accepted + self.duplicates + self.conflicts + self.rejected
    }
}

/// A request that was answered.
#[derive(Debug)]
pub struct Received<'a> {
    /// The account that sent it.
    pub account: &'a str,
    /// The types of the valid events.
    pub types: &'a [SharedText],
    /// The outcomes of the valid events, in the same order.
    pub outcomes: &'a [Stored],
    /// The number of rejected events.
    pub refused: u64,
    /// The time from the parsed body to the answer.
    pub took: Duration,
}

/// What an instance received in the last minute.
#[derive(Debug, Clone, Default)]
pub struct IngestFigures {
    /// The length of the period; shorter than a minute after the start.
    pub seconds: f64,
    pub requests: u64,
    pub counts: EventCounts,
    /// Latencies of requests: the median, the 90th and the 99th percentile. `None` without requests.
    pub latencies: Option<[Duration; 3]>,
    /// The accounts with the most events.
    pub accounts: Vec<(String, EventCounts)>,
    /// The types with the most events. Rejected events have no type.
    pub types: Vec<(String, EventCounts)>,
}

#[derive(Debug, Default)]
struct Slot {
    /// The time of its start, in slots.
    number: u64,
    requests: u64,
    counts: EventCounts,
    latencies: HashMap<u64, u64>,
    accounts: HashMap<String, EventCounts>,
    types: HashMap<String, EventCounts>,
}

impl Slot {
    fn record(&mut self, received: &Received<'_>) {
        let mut counts = EventCounts { rejected: received.refused, ..EventCounts::default() };
        for (event_type, outcome) in received.types.iter().zip(received.outcomes) {
            counts.record(*outcome);
            entry(&mut self.types, event_type.as_str()).record(*outcome);
        }
        entry(&mut self.accounts, received.account).add(counts);
        self.counts.add(counts);
        self.requests += 1;
        *self.latencies.entry(bucket(received.took)).or_default() += 1;
    }
}

/// The counts of a name, or of the rest if there are too many names.
fn entry<'a>(names: &'a mut HashMap<String, EventCounts>, name: &str) -> &'a mut EventCounts {
    let name = if names.len() < MAX_NAMES || names.contains_key(name) { name } else { REST };
    if !names.contains_key(name) {
        names.insert(name.to_owned(), EventCounts::default());
    }
    names.entry(name.to_owned()).or_default()
}

/// The bucket of a latency: its power of two, and an eighth of it.
fn bucket(latency: Duration) -> u64 {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(BUCKETS_PER_POWER);
    let power = u64::from(micros.ilog2()).min(MAX_POWER);
    let eighth = (micros >> (power - 3)) - BUCKETS_PER_POWER;
    power * BUCKETS_PER_POWER + eighth.min(BUCKETS_PER_POWER - 1)
}

/// The largest latency of a bucket.
fn upper_bound(bucket: u64) -> Duration {
    let (power, eighth) = (bucket / BUCKETS_PER_POWER, bucket % BUCKETS_PER_POWER);
    Duration::from_micros((BUCKETS_PER_POWER + eighth + 1) << power.saturating_sub(3))
}

/// The figures of an instance.
#[derive(Debug)]
pub struct IngestStatistics {
    clock: Clock,
    started: Duration,
    slots: Mutex<VecDeque<Slot>>,
}

impl IngestStatistics {
    pub fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), started: clock.monotonic(), slots: Mutex::default() }
    }

    /// Counts a request.
    pub fn record(&self, received: &Received<'_>) {
        let number = self.slot_number();
        let mut slots = self.lock();
        if slots.back().is_none_or(|slot| slot.number < number) {
            slots.push_back(Slot { number, ..Slot::default() });
            slots.retain(|slot| slot.number + slot_count() > number);
        }
        if let Some(slot) = slots.back_mut() {
            slot.record(received);
        }
    }

    /// The figures of the last minute.
    pub fn figures(&self) -> IngestFigures {
        let (number, now) = (self.slot_number(), self.clock.monotonic());
        let window = SLOT * u32::try_from(SLOTS).unwrap_or(u32::MAX);
        let seconds = now.saturating_sub(self.started).min(window).as_secs_f64();
        let mut figures = IngestFigures { seconds, ..IngestFigures::default() };
        let (mut latencies, mut accounts, mut types) = (HashMap::new(), HashMap::new(), HashMap::new());
        let slots = self.lock();
        for slot in slots.iter().filter(|slot| slot.number + slot_count() > number) {
            figures.requests += slot.requests;
            figures.counts.add(slot.counts);
            slot.latencies.iter().for_each(|(bucket, n)| *latencies.entry(*bucket).or_default() += n);
            slot.accounts.iter().for_each(|(name, counts)| entry(&mut accounts, name).add(*counts));
            slot.types.iter().for_each(|(name, counts)| entry(&mut types, name).add(*counts));
        }
        drop(slots);
        figures.latencies = percentiles(latencies, figures.requests);
        figures.accounts = largest(accounts);
        figures.types = largest(types);
        figures
    }

    fn slot_number(&self) -> u64 {
        self.clock.monotonic().as_secs() / SLOT.as_secs()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot_count() -> u64 {
    u64::try_from(SLOTS).unwrap_or(u64::MAX)
}

/// The names with the most events, and the rest of them under one name.
fn largest(names: HashMap<String, EventCounts>) -> Vec<(String, EventCounts)> {
    let (mut rest, mut listed) = (EventCounts::default(), Vec::new());
    for (name, counts) in names {
        if name == REST { rest.add(counts) } else { listed.push((name, counts)) }
    }
    listed.sort_by(|(a_name, a), (b_name, b)| b.total().cmp(&a.total()).then_with(|| a_name.cmp(b_name)));
    listed.iter().skip(MAX_LISTED).for_each(|(_, counts)| rest.add(*counts));
    listed.truncate(MAX_LISTED);
    if rest.total() > 0 {
        listed.push((REST.to_owned(), rest));
    }
    listed
}

fn percentiles(buckets: HashMap<u64, u64>, requests: u64) -> Option<[Duration; 3]> {
    let mut buckets: Vec<(u64, u64)> = buckets.into_iter().collect();
    buckets.sort_unstable();
    let percentile = |percent: u64| {
        let rank = (requests * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = |(_, n): &&(u64, u64)| {
            seen += *n;
            seen >= rank
        };
        buckets.iter().find(reached).map(|(bucket, _)| upper_bound(*bucket))
    };
    Some([percentile(50)?, percentile(90)?, percentile(99)?])
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn record(statistics: &IngestStatistics, account: &str, event_type: &str, outcomes: &[Stored], ms: u64) {
        let types = vec![SharedText::from(event_type.to_owned()); outcomes.len()];
        let took = Duration::from_millis(ms);
        statistics.record(&Received { account, types: &types, outcomes, refused: 1, took });
    }

    #[test]
    fn the_figures_cover_the_last_minute() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let statistics = IngestStatistics::new(&clock);
        clock.advance(Duration::from_secs(20));
        record(&statistics, "key:a", "seen", &[Stored::Accepted, Stored::Duplicate], 10);
        clock.advance(Duration::from_secs(20));
        record(&statistics, "key:b", "paid", &[Stored::Accepted, Stored::Accepted, Stored::Conflict], 100);
        let figures = statistics.figures();
        let all = EventCounts { accepted: 3, duplicates: 1, conflicts: 1, rejected: 2 };
        assert_eq!((figures.counts, figures.requests), (all, 2));
        assert!((figures.seconds - 40.0).abs() < 0.001);
        let names =
            |list: &[(String, EventCounts)]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&figures.accounts), names(&figures.types)),
            (vec!["key:b".to_owned(), "key:a".to_owned()], vec!["paid".to_owned(), "seen".to_owned()])
        );
        clock.advance(Duration::from_secs(45));
        assert_eq!(names(&statistics.figures().accounts), ["key:b"]);
        clock.advance(Duration::from_secs(60));
        assert_eq!(statistics.figures().counts, EventCounts::default());
        assert!(statistics.figures().latencies.is_none());
    }

    #[test]
    fn a_percentile_is_at_most_an_eighth_too_high() {
        for micros in [8, 9, 15, 16, 1000, 1024, 12_345, 999_999, 60_000_000] {
            let latency = Duration::from_micros(micros);
            let bound = upper_bound(bucket(latency));
            assert!(bound >= latency && bound <= latency.mul_f64(1.126), "{latency:?} {bound:?}");
        }
        let latencies =
            HashMap::from([(bucket(Duration::from_millis(1)), 98), (bucket(Duration::from_millis(50)), 2)]);
        let [p50, p90, p99] = percentiles(latencies, 100).unwrap();
        assert!(p50 == p90 && p99 >= Duration::from_millis(50));
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let statistics = IngestStatistics::new(&clock);
        for n in 0..MAX_NAMES * 2 {
            record(&statistics, "key:a", &format!("t{n}"), &[Stored::Accepted], 1);
        }
        let types = statistics.figures().types;
        assert_eq!(types.len(), MAX_LISTED + 1);
        assert_eq!(types.last().unwrap().0, REST);
        assert_eq!(types.iter().map(|(_, counts)| counts.accepted).sum::<u64>(), 400);
    }
}
