//! The rate limiter of one instance, in its memory: several instances let through as many times what one lets through,
//! where there is no Redis to count in together.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter as Governor};

use super::store::ClientStore;
use super::{Limit, LimitClass, Payer, Verdict};
use crate::clock::Clock;
use crate::config::LimitSettings;

/// How often those are forgotten whose pause has made everything good.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// The house's clock, as governor reads it.
#[derive(Debug, Clone)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

/// One limit and its clients.
#[derive(Debug)]
struct Counter {
    limit: Limit,
    started: Duration,
    clients: ClientStore,
    governor: Governor<u64, ClientStore, Ticks, StateInformationMiddleware>,
}

impl Counter {
    fn new(limit: Limit, max_clients: usize, clock: &Clock) -> Self {
        let clients = ClientStore::new(max_clients);
        let quota = Quota::per_minute(limit.rate.per_minute).allow_burst(limit.rate.burst);
        let governor = Governor::new(quota, clients.clone(), Ticks(clock.clone()));
        Self { limit, started: clock.monotonic(), clients, governor }
    }

    fn check(&self, client: u64, now: Duration) -> Verdict {
        let (remaining, retry_after) = match self.governor.check_key(&client) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refused) => (0, Some(refused.wait_time_from(now))),
        };
        Verdict { limit: self.limit, remaining, retry_after }
    }

    /// Takes `requests` from a client, at most until nothing is left of its burst.
    fn charge(&self, client: u64, requests: u32, now: Duration) {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let interval = self.limit.interval();
        let now = now.saturating_sub(self.started);
        let latest = now + interval * self.limit.rate.burst.get();
        self.clients.charge(client, nanos(interval * requests), nanos(now), nanos(latest));
    }
}

/// The counters of every class and kind of payer.
pub(super) struct MemoryRateLimiter {
    counters: Vec<Counter>,
    failed_authentication_cost: u32,
    /// Not the default keys: who knows them could choose addresses that count as somebody else's.
    hasher: RandomState,
    clock: Clock,
    forgot_at: Mutex<Duration>,
}

impl MemoryRateLimiter {
    pub(super) fn new(settings: &LimitSettings, clock: &Clock) -> Self {
        let counters = Limit::all(settings)
            .into_iter()
            .map(|limit| Counter::new(limit, settings.max_clients, clock))
            .collect();
        Self {
            counters,
            failed_authentication_cost: settings.failed_authentication_cost,
            hasher: RandomState::new(),
            clock: clock.clone(),
            forgot_at: Mutex::new(clock.monotonic()),
        }
    }

    pub(super) fn check(&self, class: LimitClass, payer: Payer<'_>) -> Option<Verdict> {
        let now = self.clock.monotonic();
        self.forget_when_due(now);
        Some(self.counter(class, payer)?.check(self.client(payer), now))
    }

    pub(super) fn charge_failed_authentication(&self, payer: Payer<'_>) {
        if let Some(counter) = self.counter(LimitClass::Standard, payer) {
            counter.charge(self.client(payer), self.failed_authentication_cost, self.clock.monotonic());
        }
    }

    fn counter(&self, class: LimitClass, payer: Payer<'_>) -> Option<&Counter> {
        self.counters
            .iter()
            .find(|counter| counter.limit.class == class && counter.limit.payer_kind == payer.kind())
    }

    fn client(&self, payer: Payer<'_>) -> u64 {
        match payer {
            Payer::Address(address) => self.hasher.hash_one(address.network()),
            Payer::Account { name, .. } | Payer::Subject(name) => self.hasher.hash_one(name),
        }
    }

    fn forget_when_due(&self, now: Duration) {
        let mut forgot_at = self.forgot_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*forgot_at) < FORGET_EVERY {
            return;
        }
        *forgot_at = now;
        drop(forgot_at);
        for counter in &self.counters {
            counter.governor.retain_recent();
            counter.governor.shrink_to_fit();
        }
    }

    /// How many clients are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.counters.iter().map(|counter| counter.governor.len()).sum()
    }
}
