//! The in-memory rate limiter of one instance. Without Redis, each instance counts separately, so the effective limit
//! is multiplied by the number of instances.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter as Governor};

use super::store::ClientStore;
use super::{Limit, LimitCheck, LimitClass, Requester};
use crate::clock::Clock;
use crate::config::LimitSettings;

/// Interval for removing clients whose quota is fully restored.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// Adapts [`Clock`] for governor.
#[derive(Debug, Clone)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

/// One limit and the state of its clients.
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

    fn check(&self, client: u64, cost: u32, now: Duration) -> LimitCheck {
        let Some(cost) = NonZeroU32::new(cost) else { return self.look(client, now) };
        let (remaining, retry_after) =
            match self.governor.check_key_n(&client, cost.min(self.limit.rate.burst)) {
                Ok(Ok(state)) => (state.remaining_burst_capacity(), None),
                Ok(Err(refused)) => (0, Some(refused.wait_time_from(now))),
                // The cost is at most the burst.
                Err(_) => (0, Some(self.limit.interval())),
            };
        LimitCheck { limit: self.limit, remaining, retry_after }
    }

    /// Checks whether one more request would fit, without counting it.
    fn look(&self, client: u64, now: Duration) -> LimitCheck {
        let (interval, since_start) = (self.limit.interval(), now.saturating_sub(self.started));
        let ahead = self.clients.due(client).saturating_sub(since_start);
        let retry_after = ahead.checked_sub(interval * (self.limit.rate.burst.get() - 1));
        let used = u32::try_from(ahead.as_nanos().div_ceil(interval.as_nanos().max(1))).unwrap_or(u32::MAX);
        LimitCheck {
            limit: self.limit,
            remaining: self.limit.rate.burst.get().saturating_sub(used),
            retry_after: retry_after.filter(|wait| !wait.is_zero()),
        }
    }

    /// Charges a client for `requests`, at most until its burst is used up.
    fn charge(&self, client: u64, requests: u32, now: Duration) {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let interval = self.limit.interval();
        let now = now.saturating_sub(self.started);
        let latest = now + interval * self.limit.rate.burst.get();
        self.clients.charge(client, nanos(interval * requests), nanos(now), nanos(latest));
    }
}

/// The in-memory counters for every class and requester kind.
pub(super) struct MemoryRateLimiter {
    counters: Vec<Arc<Counter>>,
    /// Counters of custom limits of API keys, kept while they have clients.
    own: Mutex<HashMap<Limit, Arc<Counter>>>,
    max_clients: usize,
    failed_authentication_cost: u32,
    /// Randomly keyed, because with known keys a client could choose addresses that collide with those of another
    /// client.
    hasher: RandomState,
    clock: Clock,
    cleaned_up_at: Mutex<Duration>,
}

impl MemoryRateLimiter {
    pub(super) fn new(settings: &LimitSettings, clock: &Clock) -> Self {
        let counters = Limit::all(settings)
            .into_iter()
            .map(|limit| Arc::new(Counter::new(limit, settings.max_clients, clock)))
            .collect();
        Self {
            counters,
            own: Mutex::default(),
            max_clients: settings.max_clients,
            failed_authentication_cost: settings.failed_authentication_cost,
            hasher: RandomState::new(),
            clock: clock.clone(),
            cleaned_up_at: Mutex::new(clock.monotonic()),
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self, class: LimitClass, requester: Requester<'_>) -> Option<LimitCheck> {
        self.check_many(class, requester, 1)
    }

    /// Counts `cost` requests or events (see [`super::RateLimiter::check_many`]).
    pub(super) fn check_many(
        &self,
        class: LimitClass,
        requester: Requester<'_>,
        cost: u32,
    ) -> Option<LimitCheck> {
        let now = self.clock.monotonic();
        self.clean_up_when_due(now);
        Some(self.counter(class, requester)?.check(self.client(requester), cost, now))
    }

    pub(super) fn charge_failed_authentication(&self, requester: Requester<'_>) {
        if let Some(counter) = self.counter(LimitClass::Standard, requester) {
            counter.charge(self.client(requester), self.failed_authentication_cost, self.clock.monotonic());
        }
    }

    fn counter(&self, class: LimitClass, requester: Requester<'_>) -> Option<Arc<Counter>> {
        if let Some(limit) = requester.own_limit(class) {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Counter::new(limit, self.max_clients, &self.clock));
            return Some(Arc::clone(own.entry(limit).or_insert_with(new)));
        }
        let fits = |counter: &&Arc<Counter>| {
            counter.limit.class == class && counter.limit.requester_kind == requester.kind()
        };
        self.counters.iter().find(fits).cloned()
    }

    fn client(&self, requester: Requester<'_>) -> u64 {
        match requester {
            Requester::Address(address) => self.hasher.hash_one(address.network()),
            Requester::Account { name, .. } | Requester::ApiKey { name, .. } | Requester::Subject(name) => {
                self.hasher.hash_one(name)
            }
        }
    }

    fn clean_up_when_due(&self, now: Duration) {
        let mut cleaned_up_at = self.cleaned_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*cleaned_up_at) < CLEANUP_INTERVAL {
            return;
        }
        *cleaned_up_at = now;
        drop(cleaned_up_at);
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        for counter in self.counters.iter().chain(own.values()) {
            counter.governor.retain_recent();
            counter.governor.shrink_to_fit();
        }
        own.retain(|_, counter| !counter.governor.is_empty());
    }

    /// Number of clients in the counters.
    #[cfg(test)]
    pub(super) fn client_count(&self) -> usize {
        self.counters.iter().map(|counter| counter.governor.len()).sum()
    }
}
