//! Slows down password guessing.
//!
//! Failed sign-ins are counted per name and address, and for each name the addresses that have failed are counted. An
//! address that has failed too often for a name must wait before its next attempt, twice as long after each further
//! failure. Other addresses are not delayed. Once many addresses have failed for a name, all addresses that the account
//! has never used must wait; from an address that it has used, a correct password is always accepted. Failures are
//! counted for every name, whether or not an account has it.
//!
//! Each instance counts separately, and its memory is bounded: further names share counters. The rate limits of
//! `[limits.login]` apply first and are shared by all instances.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::GuessingSettings;
use crate::error::{Error, Result};

/// The number of separately counted names, and of pairs of name and address.
const CAPACITY: usize = 50_000;
/// The number of counters that all further names and pairs share.
const SHARED: u64 = 64;
/// The prefix length of a customer's IPv6 network (RFC 6177).
const IPV6_NETWORK_BITS: u32 = 64;

/// The name and the source address of a sign-in.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignIn<'a> {
    name: &'a str,
    network: Option<IpAddr>,
}

impl<'a> SignIn<'a> {
    pub(super) fn new(name: &'a str, address: Option<IpAddr>) -> Self {
        Self { name, network: address.map(network) }
    }

    /// The address, or the network of an IPv6 address.
    pub(super) fn network(&self) -> Option<IpAddr> {
        self.network
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - IPV6_NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The result of counting a failed sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Failures of this address for this name.
    pub(super) attempts: u32,
    /// Addresses that have failed for this name.
    pub(super) networks: u32,
    /// Whether addresses that the account has never used must wait from this failure on.
    pub(super) is_alarming: bool,
    /// Whether to record it: failures 1, 2, 4, 8 and so on of an address, but at most `recorded_per_minute` in total,
    /// so an attacker cannot fill the disk.
    pub(super) is_recorded: bool,
    /// Failures that were not recorded since the last recorded one.
    pub(super) unrecorded: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    failures: u32,
    last: Duration,
}

/// Counts by key, up to [`CAPACITY`].
#[derive(Debug, Default)]
struct CountTable {
    by_key: HashMap<u64, Count>,
    /// When old counts were last removed. A purge scans the whole table, so a full table is not purged on every
    /// failure.
    purged_at: Duration,
}

/// The minimum interval between purges of a full table.
const PURGE_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Counts {
    addresses: CountTable,
    names: CountTable,
    /// The minute in which recorded rows are counted, and their number.
    minute: u64,
    recorded: u32,
    unrecorded: u32,
}

/// The failed sign-ins counted by this instance.
pub(super) struct FailedSignIns {
    settings: GuessingSettings,
    clock: Clock,
    hasher: RandomState,
    counts: Mutex<Counts>,
}

impl FailedSignIns {
    pub(super) fn new(settings: GuessingSettings, clock: Clock) -> Self {
        Self { settings, clock, hasher: RandomState::new(), counts: Mutex::default() }
    }

    /// Admits a sign-in unless its address must wait before the next attempt for this name.
    ///
    /// # Errors
    /// [`Error::RateLimited`]
    pub(super) fn admit_address(&self, sign_in: SignIn<'_>) -> Result<()> {
        let key = self.key((sign_in.name, sign_in.network));
        let count = self.lock().addresses.find(key);
        self.admit(count, self.settings.attempts)
    }

    /// Admits a sign-in from an address that the account has never used, unless such addresses must wait.
    ///
    /// # Errors
    /// [`Error::RateLimited`]
    pub(super) fn admit_name(&self, sign_in: SignIn<'_>) -> Result<()> {
        let count = self.lock().names.find(self.key(sign_in.name));
        self.admit(count, self.settings.addresses)
    }

    /// Clears the failures of an address for a name.
    pub(super) fn succeeded(&self, sign_in: SignIn<'_>) {
        let key = self.key((sign_in.name, sign_in.network));
        self.lock().addresses.by_key.remove(&key);
    }

    /// Counts a failed sign-in.
    pub(super) fn failed(&self, sign_in: SignIn<'_>) -> Failure {
        let now = self.clock.monotonic();
        let (address, name) = (self.key((sign_in.name, sign_in.network)), self.key(sign_in.name));
        let mut counts = self.lock();
        let attempts = self.add(&mut counts.addresses, address, now);
        let networks = if attempts == 1 {
            self.add(&mut counts.names, name, now)
        } else {
            counts.names.find(name).failures
        };
        let is_alarming = attempts == 1 && networks == self.settings.addresses + 1;
        let is_recorded =
            attempts.is_power_of_two() && counts.reserve_row(now, self.settings.recorded_per_minute);
        let unrecorded = if is_recorded {
            std::mem::take(&mut counts.unrecorded)
        } else {
            counts.unrecorded = counts.unrecorded.saturating_add(1);
            0
        };
        Failure { attempts, networks, is_alarming, is_recorded, unrecorded }
    }

    fn admit(&self, count: Count, free_failures: u32) -> Result<()> {
        let left = self
            .pause(count, free_failures)
            .saturating_sub(self.clock.monotonic().saturating_sub(count.last));
        if left.is_zero() { Ok(()) } else { Err(Error::RateLimited { retry_after: left }) }
    }

    /// The wait after this many failures: none at first, then doubling.
    fn pause(&self, count: Count, free_failures: u32) -> Duration {
        match count.failures.checked_sub(free_failures) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => {
                let factor = 1_u32.checked_shl(beyond - 1).unwrap_or(u32::MAX);
                self.settings.pause().saturating_mul(factor).min(self.settings.longest_pause())
            }
        }
    }

    fn add(&self, table: &mut CountTable, key: u64, now: Duration) -> u32 {
        table.add(key, now, self.settings.longest_pause() * 2)
    }

    fn key(&self, client: impl Hash) -> u64 {
        self.hasher.hash_one(client)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Counts one more recorded row in this minute. Returns `false` if no more may be recorded.
    fn reserve_row(&mut self, now: Duration, per_minute: u32) -> bool {
        let minute = now.as_secs() / 60;
        if self.minute != minute {
            (self.minute, self.recorded) = (minute, 0);
        }
        let fits = self.recorded < per_minute;
        self.recorded += u32::from(fits);
        fits
    }
}

impl CountTable {
    /// Counts a failure. Counts older than `forget_after` restart.
    fn add(&mut self, key: u64, now: Duration, forget_after: Duration) -> u32 {
        let is_old = |count: &Count| now.saturating_sub(count.last) > forget_after;
        let is_new = !self.by_key.contains_key(&key);
        if is_new && self.is_full() && now.saturating_sub(self.purged_at) >= PURGE_INTERVAL {
            self.by_key.retain(|_, count| !is_old(count));
            self.purged_at = now;
        }
        let key = if is_new && self.is_full() { key % SHARED } else { key };
        let count = self.by_key.entry(key).or_default();
        if is_old(count) {
            *count = Count::default();
        }
        *count = Count { failures: count.failures.saturating_add(1), last: now };
        count.failures
    }

    fn find(&self, key: u64) -> Count {
        let shared = || self.by_key.get(&(key % SHARED)).filter(|_| self.is_full());
        self.by_key.get(&key).or_else(shared).copied().unwrap_or_default()
    }

    fn is_full(&self) -> bool {
        self.by_key.len() >= CAPACITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: GuessingSettings = GuessingSettings {
        attempts: 3,
        addresses: 2,
        pause_ms: 1000,
        longest_pause_ms: 8000,
        recorded_per_minute: 5,
    };

    fn guesses() -> (FailedSignIns, Clock) {
        let clock = Clock::manual(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        clock.advance(Duration::from_secs(3600));
        (FailedSignIns::new(SETTINGS, clock.clone()), clock)
    }

    fn from<'a>(name: &'a str, address: &str) -> SignIn<'a> {
        SignIn::new(name, Some(address.parse().unwrap()))
    }

    fn wait(result: Result<()>) -> u64 {
        match result {
            Ok(()) => 0,
            Err(Error::RateLimited { retry_after }) => retry_after.as_secs(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_waits_twice_as_long_after_each_failure_and_others_do_not_wait() {
        let (guesses, clock) = guesses();
        let (attacker, owner) = (from("admin", "203.0.113.9"), from("admin", "192.0.2.1"));
        for expected in [0, 0, 0, 1, 2, 4, 8, 8] {
            guesses.failed(attacker);
            assert_eq!(wait(guesses.admit_address(attacker)), expected);
            assert_eq!((wait(guesses.admit_address(owner)), wait(guesses.admit_name(owner))), (0, 0));
            clock.advance(Duration::from_secs(expected));
            assert_eq!(wait(guesses.admit_address(attacker)), 0);
        }
        assert_eq!(wait(guesses.admit_address(from("other", "203.0.113.9"))), 0);
        guesses.succeeded(attacker);
        guesses.failed(attacker);
        assert_eq!(wait(guesses.admit_address(attacker)), 0);
    }

    #[test]
    fn a_name_is_protected_after_failures_of_many_addresses_but_not_of_one_network() {
        let (guesses, _) = guesses();
        for host in 1..200 {
            guesses.failed(from("admin", &format!("2001:db8::{host:x}")));
        }
        assert_eq!(wait(guesses.admit_name(from("admin", "192.0.2.1"))), 0);
        assert!(!guesses.failed(from("admin", "203.0.113.1")).is_alarming);
        let third = guesses.failed(from("admin", "203.0.113.2"));
        assert_eq!((third.networks, third.is_alarming), (3, true));
        assert_eq!(wait(guesses.admit_name(from("admin", "192.0.2.1"))), 1);
        assert_eq!(wait(guesses.admit_name(from("other", "192.0.2.1"))), 0);
        assert!(!guesses.failed(from("admin", "203.0.113.3")).is_alarming, "the alarm must be raised once");
    }

    #[test]
    fn failures_expire() {
        let (guesses, clock) = guesses();
        let attacker = from("admin", "203.0.113.9");
        for _ in 0..20 {
            guesses.failed(attacker);
        }
        clock.advance(Duration::from_secs(17));
        assert_eq!(guesses.failed(attacker).attempts, 1);
    }

    #[test]
    fn the_number_of_recorded_failures_is_bounded() {
        let (guesses, clock) = guesses();
        let recorded: Vec<u32> = (0..100)
            .map(|_| guesses.failed(from("admin", "203.0.113.9")))
            .filter(|failure| failure.is_recorded)
            .map(|failure| failure.attempts)
            .collect();
        assert_eq!(recorded, [1, 2, 4, 8, 16]);
        assert!(!guesses.failed(from("x", "192.0.2.1")).is_recorded, "five were recorded in this minute");
        clock.advance(Duration::from_secs(60));
        let next = guesses.failed(from("x", "192.0.2.2"));
        assert_eq!((next.is_recorded, next.unrecorded), (true, 85));
    }

    #[test]
    fn memory_is_bounded_and_further_names_share_counters() {
        let (guesses, _) = guesses();
        for name in 0..CAPACITY * 2 {
            guesses.failed(from(&name.to_string(), "203.0.113.9"));
        }
        let counts = guesses.lock();
        assert!(counts.names.by_key.len() <= CAPACITY + 64 && counts.addresses.by_key.len() <= CAPACITY + 64);
    }
}
