//! The only source of time, identifiers and randomness.
//!
//! Code that needs them gets a [`Clock`]. In production it uses the system's clock. In tests, [`Clock::manual`] makes it
//! possible to test expiries, windows and birthdays without waiting. Leases do not use it: they follow the database's
//! clock, which all instances share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt as _;
use uuid::Uuid;

/// A source of time, identifiers and randomness. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    origin: Instant,
    /// The total of all calls of [`Clock::advance`], in milliseconds.
    shift_ms: Arc<AtomicI64>,
    /// The error of the time of day that a test set, in milliseconds.
    error_ms: Arc<AtomicI64>,
    /// The start time of a manual clock; `None` for the system's clock.
    fixed: Option<DateTime<Utc>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { origin: Instant::now(), shift_ms: Arc::default(), error_ms: Arc::default(), fixed: None }
    }

    /// A clock that stays at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self { fixed: Some(start), ..Self::system() }
    }

    /// Moves this clock and its clones forward.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.shift_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Makes the time of day of this clock and its clones wrong by `error`, as a wrong time server would. Monotonic time
    /// is not affected.
    pub fn set_error(&self, error: TimeDelta) {
        self.error_ms.store(error.num_milliseconds(), Ordering::SeqCst);
    }

    /// The time of day in UTC.
    pub fn now(&self) -> DateTime<Utc> {
        let added = self.shift_ms.load(Ordering::SeqCst) + self.error_ms.load(Ordering::SeqCst);
        self.fixed.unwrap_or_else(Utc::now) + TimeDelta::milliseconds(added)
    }

    /// The time since the creation of this clock. Unlike the time of day it never goes backwards.
    pub fn monotonic(&self) -> Duration {
        let real = if self.fixed.is_some() { Duration::ZERO } else { self.origin.elapsed() };
        let shift = u64::try_from(self.shift_ms.load(Ordering::SeqCst)).unwrap_or(0);
        real + Duration::from_millis(shift)
    }

    /// A new version 7 UUID (RFC 9562) with the current time.
    pub fn new_uuid(&self) -> Uuid {
        let ms = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &rand::rng().random()).into_uuid()
    }

    /// A uniformly distributed duration from zero to `ceiling`, inclusive ("full jitter").
    pub fn jitter(&self, ceiling: Duration) -> Duration {
        let ms = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rand::rng().random_range(0..=ms))
    }

    /// A uniformly distributed number from 0 to 99.
    pub fn percent_roll(&self) -> u8 {
        rand::rng().random_range(0..100)
    }

    /// Random bytes from a thread-local, cryptographically secure generator.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        rand::rng().random()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("fixed", &self.fixed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_and_its_clones_move_only_when_advanced() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let copy = clock.clone();
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH);
        clock.advance(Duration::from_secs(90));
        assert_eq!(copy.now().timestamp(), 90);
        assert_eq!(copy.monotonic(), Duration::from_secs(90));
    }

    #[test]
    fn a_clock_error_changes_the_time_of_day_but_not_monotonic_time() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        clock.clone().set_error(TimeDelta::hours(-2));
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::hours(22));
        assert_eq!(clock.monotonic(), Duration::ZERO);
        clock.set_error(TimeDelta::zero());
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::days(1));
    }

    #[test]
    fn ids_are_version_7_and_contain_the_clocks_time() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let id = clock.new_uuid();
        assert_eq!(id.get_version_num(), 7);
        let (secs, _) = id.get_timestamp().expect("v7 has a timestamp").to_unix();
        assert_eq!(secs, 20_000 * 86_400);
    }

    #[test]
    fn jitter_stays_within_its_ceiling() {
        let clock = Clock::system();
        for _ in 0..1000 {
            assert!(clock.jitter(Duration::from_millis(7)) <= Duration::from_millis(7));
        }
    }
}
