//! Rate limits per client address, account and API key.
//!
//! The route table assigns each route a [`LimitClass`]. Each class has one rate per client address and one per account,
//! depending on its role (`[limits]`). Both count every request, independently of each other: the address before
//! authentication, the account after it. Ingested events are counted one by one for accounts and keys. An API key has
//! its own rate, from the configuration or set when the key was created. Creations by an API key count as standard
//! requests for its address, because the creation rate of addresses is meant for people. Rates are enforced with the
//! generic cell rate algorithm (GCRA) of the crate `governor`.
//!
//! With Redis, all instances share counters with the same rules ([`shared`]). Without Redis, or while it is
//! unavailable, each instance counts separately ([`memory`]). Counting never fails and waits only for Redis.

mod fields;
mod memory;
mod request;
mod shared;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::memory::MemoryRateLimiter;
use self::shared::SharedRateLimiter;
use super::auth::{Credential, Principal};
use super::client_address::ClientAddress;
use crate::clock::Clock;
use crate::config::{ClassRates, LimitSettings, Rate};
use crate::domain::account::{KeyLimits, Role};
use crate::redis::Redis;
use crate::storage::seal::KeyRing;

pub use self::fields::LimitChecks;
pub use self::request::check_subject;
pub(in crate::http) use self::request::{RequestLimits, check, check_as, check_events, check_exhausted};

/// A group of routes that share a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitClass {
    /// Creation of applications.
    Create,
    /// Incoming webhooks.
    Webhook,
    /// Sign-ins.
    Login,
    /// Ingested events. Addresses are limited by requests, accounts and API keys by events.
    Ingest,
    /// All other routes.
    Standard,
    /// Not limited: probes.
    Exempt,
}

impl LimitClass {
    /// The classes with a limit.
    pub const COUNTED: [Self; 5] = [Self::Create, Self::Webhook, Self::Login, Self::Ingest, Self::Standard];

    const fn rates(self, settings: &LimitSettings) -> Option<&ClassRates> {
        match self {
            Self::Create => Some(&settings.create),
            Self::Webhook => Some(&settings.webhook),
            Self::Login => Some(&settings.login),
            Self::Ingest => Some(&settings.ingest),
            Self::Standard => Some(&settings.standard),
            Self::Exempt => None,
        }
    }
}

/// The party that a request is counted for.
#[derive(Debug, Clone, Copy)]
pub enum Requester<'a> {
    /// The client address.
    Address(ClientAddress),
    /// An authenticated account.
    Account {
        /// The name of the account.
        name: &'a str,
        /// The role of the account.
        role: Role,
    },
    /// An authenticated API key.
    ApiKey {
        /// The account of the key.
        name: &'a str,
        /// The custom limits of the key.
        limits: KeyLimits,
    },
    /// A subject other than an account, such as the name in a sign-in or the bureau that sent a webhook. It has
    /// the rate of a user.
    Subject(&'a str),
}

/// The kind of a [`Requester`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RequesterKind {
    Address,
    Account(Role),
    ApiKey,
    Subject,
}

impl RequesterKind {
    const ALL: [Self; 6] = [
        Self::Address,
        Self::Account(Role::User),
        Self::Account(Role::Analyst),
        Self::Account(Role::Admin),
        Self::ApiKey,
        Self::Subject,
    ];

    const fn rate(self, rates: &ClassRates) -> Rate {
        match (self, rates.api_key) {
            (Self::ApiKey, Some(rate)) => rate,
            (kind, _) => kind.rate_of_role(rates),
        }
    }

    const fn rate_of_role(self, rates: &ClassRates) -> Rate {
        match self {
            Self::Address => rates.address,
            Self::Account(Role::User) | Self::ApiKey | Self::Subject => rates.user,
            Self::Account(Role::Analyst) => rates.analyst,
            Self::Account(Role::Admin) => rates.admin,
        }
    }
}

impl<'a> Requester<'a> {
    /// An authenticated account or API key.
    pub(in crate::http) fn of(principal: &'a Principal) -> Self {
        let name = &principal.account;
        match &principal.credential {
            Credential::Token { .. } => Self::Account { name, role: principal.role },
            Credential::ApiKey { limits, .. } => Self::ApiKey { name, limits: *limits },
        }
    }
}

impl Requester<'_> {
    /// The requester's custom limit for a class, which only API keys can have.
    fn own_limit(self, class: LimitClass) -> Option<Limit> {
        let Self::ApiKey { limits, .. } = self else { return None };
        let per_minute = match class {
            LimitClass::Create => limits.applications_per_minute,
            LimitClass::Standard => limits.requests_per_minute,
            LimitClass::Webhook | LimitClass::Login | LimitClass::Ingest | LimitClass::Exempt => None,
        }?;
        let rate = Rate { per_minute, burst: per_minute };
        Some(Limit { class, requester_kind: RequesterKind::ApiKey, rate })
    }

    const fn kind(self) -> RequesterKind {
        match self {
            Self::Address(_) => RequesterKind::Address,
            Self::Account { role, .. } => RequesterKind::Account(role),
            Self::ApiKey { .. } => RequesterKind::ApiKey,
            Self::Subject(_) => RequesterKind::Subject,
        }
    }
}

/// A limit: a class, a requester kind and their rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    class: LimitClass,
    requester_kind: RequesterKind,
    rate: Rate,
}

impl Limit {
    /// All configured limits.
    fn all(settings: &LimitSettings) -> Vec<Self> {
        let of_class = |class: LimitClass| {
            let limit = move |rates: &ClassRates, requester_kind: RequesterKind| Self {
                class,
                requester_kind,
                rate: requester_kind.rate(rates),
            };
            let rates = class.rates(settings);
            RequesterKind::ALL.into_iter().filter_map(move |kind| Some(limit(rates?, kind)))
        };
        LimitClass::COUNTED.into_iter().flat_map(of_class).collect()
    }

    /// The name shown to clients.
    const fn name(self) -> &'static str {
        match (self.class, self.requester_kind) {
            (LimitClass::Create, RequesterKind::Address) => "create-address",
            (LimitClass::Create, _) => "create-account",
            (LimitClass::Webhook, RequesterKind::Address) => "webhook-address",
            (LimitClass::Webhook, _) => "webhook-account",
            (LimitClass::Login, RequesterKind::Address) => "login-address",
            (LimitClass::Login, _) => "login-account",
            (LimitClass::Ingest, RequesterKind::Address) => "ingest-address",
            (LimitClass::Ingest, _) => "ingest-account",
            (LimitClass::Standard | LimitClass::Exempt, RequesterKind::Address) => "standard-address",
            (LimitClass::Standard | LimitClass::Exempt, _) => "standard-account",
        }
    }

    /// The interval after which one more request is allowed.
    fn interval(self) -> Duration {
        Duration::from_secs(60) / self.rate.per_minute.get()
    }
}

/// The result of checking a limit for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitCheck {
    limit: Limit,
    /// Number of further requests allowed now.
    pub remaining: u32,
    /// Wait before the next attempt; `None` if the request is allowed.
    pub retry_after: Option<Duration>,
}

impl LimitCheck {
    /// The time until the quota is fully restored.
    fn restored_in(&self) -> Duration {
        let used = self.limit.rate.burst.get().saturating_sub(self.remaining);
        self.limit.interval() * used
    }
}

/// Counts requests and enforces the limits. Cheap to clone.
#[derive(Clone)]
pub struct RateLimiter {
    counting: Counting,
}

#[derive(Clone)]
enum Counting {
    Off,
    On(Arc<Counters>),
}

struct Counters {
    settings: LimitSettings,
    memory: MemoryRateLimiter,
    /// Set once Redis and the keys are available, if Redis is configured.
    shared: OnceLock<SharedRateLimiter>,
}

impl RateLimiter {
    /// A limiter with these settings. It counts only for this instance until [`RateLimiter::share`] is called.
    pub fn new(settings: &LimitSettings, clock: &Clock) -> Self {
        let counters = || Counters {
            settings: settings.clone(),
            memory: MemoryRateLimiter::new(settings, clock),
            shared: OnceLock::new(),
        };
        let counting = if settings.enabled { Counting::On(Arc::new(counters())) } else { Counting::Off };
        Self { counting }
    }

    /// Shares the counters with the other instances from now on.
    pub fn share(&self, redis: &Redis, keys: &Arc<KeyRing>) {
        if let Counting::On(counters) = &self.counting {
            counters
                .shared
                .get_or_init(|| SharedRateLimiter::new(&counters.settings, redis.clone(), Arc::clone(keys)));
        }
    }

    /// Whether rate limits are enabled.
    pub fn is_on(&self) -> bool {
        !matches!(self.counting, Counting::Off)
    }

    /// Counts one request. `None` if requests of this class are not limited.
    pub async fn check(&self, class: LimitClass, requester: Requester<'_>) -> Option<LimitCheck> {
        self.check_many(class, requester, 1).await
    }

    /// Counts `cost` requests or events if they all fit the limit, otherwise none. With a cost of 0, only checks whether
    /// one more would fit. A cost above the burst counts as the burst. `None` if this class is not limited.
    pub async fn check_many(
        &self,
        class: LimitClass,
        requester: Requester<'_>,
        cost: u32,
    ) -> Option<LimitCheck> {
        let Counting::On(counters) = &self.counting else { return None };
        if let Some(shared) = counters.shared.get()
            && let Ok(check_result) = shared.check(class, requester, cost).await
        {
            return check_result;
        }
        counters.memory.check_many(class, requester, cost)
    }

    /// Charges an address for a failed authentication, at the configured cost in requests of [`LimitClass::Standard`].
    pub async fn charge_failed_authentication(&self, address: ClientAddress) {
        let Counting::On(counters) = &self.counting else { return };
        let requester = Requester::Address(address);
        if let Some(shared) = counters.shared.get()
            && shared.charge_failed_authentication(requester).await.is_ok()
        {
            return;
        }
        counters.memory.charge_failed_authentication(requester);
    }
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimiter").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}
