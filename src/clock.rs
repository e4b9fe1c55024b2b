//! The only reader of the clock and of randomness.
//!
//! Everything that needs to know the time, an identifier or a die roll is handed a [`Clock`]. In production it
//! reads the system; a test hands in one whose time it sets ([`Clock::manual`]), so that expiries, windows and
//! birthdays can be tested without waiting. Leases do not use it: they follow the database's clock, because
//! several instances share them.

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
    /// What a test added to the system's time, in milliseconds.
    shift_ms: Arc<AtomicI64>,
    /// How far the time of day is off, in milliseconds.
    error_ms: Arc<AtomicI64>,
    /// A test's fixed starting point; `None` reads the system.
    fixed: Option<DateTime<Utc>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { origin: Instant::now(), shift_ms: Arc::default(), error_ms: Arc::default(), fixed: None }
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self { fixed: Some(start), ..Self::system() }
    }

    /// Moves the clock, and every clone of it, forward by `by`.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.shift_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the time of day, of every clone too, off by `error`, as a broken time server does. Monotonic time goes on as
    /// it was.
    pub fn set_off_by(&self, error: TimeDelta) {
        self.error_ms.store(error.num_milliseconds(), Ordering::SeqCst);
    }

    /// The time of day, in UTC.
    pub fn now(&self) -> DateTime<Utc> {
        let added = self.shift_ms.load(Ordering::SeqCst) + self.error_ms.load(Ordering::SeqCst);
        self.fixed.unwrap_or_else(Utc::now) + TimeDelta::milliseconds(added)
    }

    /// Time since this clock was made. It never runs backwards, which the time of day may do.
    pub fn monotonic(&self) -> Duration {
        let real = if self.fixed.is_some() { Duration::ZERO } else { self.origin.elapsed() };
        let shift = u64::try_from(self.shift_ms.load(Ordering::SeqCst)).unwrap_or(0);
        real + Duration::from_millis(shift)
    }

    /// A new version 7 UUID (RFC 9562) of this moment.
    pub fn new_uuid(&self) -> Uuid {
        let ms = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &rand::rng().random()).into_uuid()
    }

    /// An even draw from zero up to and including `ceiling` ("full jitter").
    pub fn jitter(&self, ceiling: Duration) -> Duration {
        let ms = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rand::rng().random_range(0..=ms))
    }

    /// An even draw from 0 to 99.
    pub fn percent_roll(&self) -> u8 {
        rand::rng().random_range(0..100)
    }

    /// Random bytes from the system's generator, seeded per thread.
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
    fn a_manual_clock_moves_only_when_told_and_so_do_its_clones() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let copy = clock.clone();
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH);
        clock.advance(Duration::from_secs(90));
        assert_eq!(copy.now().timestamp(), 90);
        assert_eq!(copy.monotonic(), Duration::from_secs(90));
    }

    #[test]
    fn a_clock_that_is_off_tells_another_time_of_day_and_no_other_duration() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        clock.clone().set_off_by(TimeDelta::hours(-2));
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::hours(22));
        assert_eq!(clock.monotonic(), Duration::ZERO);
        clock.set_off_by(TimeDelta::zero());
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::days(1));
    }

    #[test]
    fn ids_are_version_7_and_carry_the_clocks_time() {
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
