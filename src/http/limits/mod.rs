//! Rate limits: how often who may ask.
//!
//! Each route belongs to a [`LimitClass`] (the route table says which), and each class has a rate for each client address
//! and one for each account, by its role (`[limits]`). Both count every request, apart from each other: the address before
//! anybody looks at credentials, the account as soon as it is known. An API key has a rate of its own, the configured one
//! or what it was made with; what it creates counts for its address as a standard request alone, because the rate of
//! creations per address is for people. The rates are GCRA, computed by governor.
//!
//! Where there is a Redis all instances count together, by the same rules ([`shared`]); without it, and while it is away,
//! each counts for itself ([`memory`]). Counting never fails, and waits for nothing but Redis.

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
use super::client_address::ClientAddress;
use crate::clock::Clock;
use crate::config::{ClassRates, LimitSettings, Rate};
use crate::domain::account::{KeyLimits, Role};
use crate::redis::Redis;
use crate::storage::seal::KeyRing;

pub use self::fields::LimitChecks;
pub use self::request::check_subject;
pub(in crate::http) use self::request::{RequestLimits, check, check_as};

/// Which routes are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitClass {
    /// Making applications.
    Create,
    /// Webhooks.
    Webhook,
    /// Logging in.
    Login,
    /// Everything that has no class of its own.
    Standard,
    /// Never counted: probes.
    Exempt,
}

impl LimitClass {
    /// The classes that are counted.
    pub const COUNTED: [Self; 4] = [Self::Create, Self::Webhook, Self::Login, Self::Standard];

    const fn rates(self, settings: &LimitSettings) -> Option<&ClassRates> {
        match self {
            Self::Create => Some(&settings.create),
            Self::Webhook => Some(&settings.webhook),
            Self::Login => Some(&settings.login),
            Self::Standard => Some(&settings.standard),
            Self::Exempt => None,
        }
    }
}

/// Who pays for a request.
#[derive(Debug, Clone, Copy)]
pub enum Payer<'a> {
    /// Whoever asks from there.
    Address(ClientAddress),
    /// An account that has proved who it is.
    Account {
        /// Its name.
        name: &'a str,
        /// Its role.
        role: Role,
    },
    /// A machine client that has proved its key.
    ApiKey {
        /// The key's account.
        name: &'a str,
        /// The limits that the key was made with.
        limits: KeyLimits,
    },
    /// What is asked about or spoken for, where that is no account that has proved it: a name that somebody tries to log
    /// in with, a provider. It has the rate of a user.
    Subject(&'a str),
}

/// A [`Payer`] without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PayerKind {
    Address,
    Account(Role),
    ApiKey,
    Subject,
}

impl PayerKind {
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

impl Payer<'_> {
    /// The limit that this payer alone has for a class: a key may be made with limits of its own.
    fn own_limit(self, class: LimitClass) -> Option<Limit> {
        let Self::ApiKey { limits, .. } = self else { return None };
        let per_minute = match class {
            LimitClass::Create => limits.applications_per_minute,
            LimitClass::Standard => limits.requests_per_minute,
            LimitClass::Webhook | LimitClass::Login | LimitClass::Exempt => None,
        }?;
        let rate = Rate { per_minute, burst: per_minute };
        Some(Limit { class, payer_kind: PayerKind::ApiKey, rate })
    }

    const fn kind(self) -> PayerKind {
        match self {
            Self::Address(_) => PayerKind::Address,
            Self::Account { role, .. } => PayerKind::Account(role),
            Self::ApiKey { .. } => PayerKind::ApiKey,
            Self::Subject(_) => PayerKind::Subject,
        }
    }
}

/// One limit: a class, a kind of payer, and its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    class: LimitClass,
    payer_kind: PayerKind,
    rate: Rate,
}

impl Limit {
    /// Every limit of the configuration.
    fn all(settings: &LimitSettings) -> Vec<Self> {
        let of_class = |class: LimitClass| {
            let limit = move |rates: &ClassRates, payer_kind: PayerKind| Self {
                class,
                payer_kind,
                rate: payer_kind.rate(rates),
            };
            let rates = class.rates(settings);
            PayerKind::ALL.into_iter().filter_map(move |kind| Some(limit(rates?, kind)))
        };
        LimitClass::COUNTED.into_iter().flat_map(of_class).collect()
    }

    /// The name that clients read.
    const fn name(self) -> &'static str {
        match (self.class, self.payer_kind) {
            (LimitClass::Create, PayerKind::Address) => "create-address",
            (LimitClass::Create, _) => "create-account",
            (LimitClass::Webhook, PayerKind::Address) => "webhook-address",
            (LimitClass::Webhook, _) => "webhook-account",
            (LimitClass::Login, PayerKind::Address) => "login-address",
            (LimitClass::Login, _) => "login-account",
            (LimitClass::Standard | LimitClass::Exempt, PayerKind::Address) => "standard-address",
            (LimitClass::Standard | LimitClass::Exempt, _) => "standard-account",
        }
    }

    /// The time in which one more request is earned.
    fn interval(self) -> Duration {
        Duration::from_secs(60) / self.rate.per_minute.get()
    }
}

/// What a limit says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitCheck {
    limit: Limit,
    /// How many more requests it would let through now.
    pub remaining: u32,
    /// When to come back; `None` when the request fits.
    pub retry_after: Option<Duration>,
}

impl LimitCheck {
    /// The time until everything is earned again.
    fn restored_in(&self) -> Duration {
        let used = self.limit.rate.burst.get().saturating_sub(self.remaining);
        self.limit.interval() * used
    }
}

/// Counts requests. Cheap to clone.
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
    /// Set once Redis and the keys are there, where there is a Redis.
    shared: OnceLock<SharedRateLimiter>,
}

impl RateLimiter {
    /// The limiter that the configuration asks for. It counts for this instance alone until [`RateLimiter::share`].
    pub fn new(settings: &LimitSettings, clock: &Clock) -> Self {
        let counters = || Counters {
            settings: settings.clone(),
            memory: MemoryRateLimiter::new(settings, clock),
            shared: OnceLock::new(),
        };
        let counting = if settings.enabled { Counting::On(Arc::new(counters())) } else { Counting::Off };
        Self { counting }
    }

    /// Counts together with the other instances from now on.
    pub fn share(&self, redis: &Redis, keys: &Arc<KeyRing>) {
        if let Counting::On(counters) = &self.counting {
            counters
                .shared
                .get_or_init(|| SharedRateLimiter::new(&counters.settings, redis.clone(), Arc::clone(keys)));
        }
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        !matches!(self.counting, Counting::Off)
    }

    /// Counts one request. `None` when nobody counts requests of this class.
    pub async fn check(&self, class: LimitClass, payer: Payer<'_>) -> Option<LimitCheck> {
        let Counting::On(counters) = &self.counting else { return None };
        if let Some(shared) = counters.shared.get()
            && let Ok(verdict) = shared.check(class, payer).await
        {
            return verdict;
        }
        counters.memory.check(class, payer)
    }

    /// Makes an address pay for a credential that was none, in requests of [`LimitClass::Standard`].
    pub async fn charge_failed_authentication(&self, address: ClientAddress) {
        let Counting::On(counters) = &self.counting else { return };
        let payer = Payer::Address(address);
        if let Some(shared) = counters.shared.get()
            && shared.charge_failed_authentication(payer).await.is_ok()
        {
            return;
        }
        counters.memory.charge_failed_authentication(payer);
    }
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimiter").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}
