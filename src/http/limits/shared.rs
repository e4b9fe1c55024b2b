//! The rate limiter of all instances together, in Redis.
//!
//! The same GCRA as governor computes in memory, in one script: what is remembered of a client is when all that it has sent
//! would have been due, in microseconds of Redis's own clock, so that instances need not agree on the time. The key ends with
//! a keyed hash of who is counted, because addresses and names are personal data, and is forgotten as soon as it says
//! nothing more.
//!
//! ```text
//! <prefix>:limit:<limit>:<hex>  =  microseconds since 1970
//! ```
//!
//! What can go wrong: Redis is away. Then the memory of each instance counts, from nothing. When Redis's clock was set
//! back, a client waits no longer than a whole burst takes to be earned. The counters cannot be sealed, because a script
//! computes with them: whoever can write to Redis can set a client's count to anything between nothing and a whole burst. A
//! value that is no number, or of another kind, counts as none; an answer that no script gives is not believed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Script, ScriptInvocation};

use super::{Limit, LimitCheck, LimitClass, Payer, PayerKind};
use crate::config::LimitSettings;
use crate::domain::account::Role;
use crate::error::{Error, Result};
use crate::redis::Redis;
use crate::storage::seal::KeyRing;

/// Sets `now`.
const REDIS_TIME: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
";

/// KEYS: the client. ARGV: the interval in microseconds, the burst. Returns how many more fit now, and in how many
/// microseconds to come back, or -1 when the request fits.
const CHECK: &str = "\
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole = interval * burst
local stored = redis.pcall('GET', KEYS[1])
local due = type(stored) == 'string' and tonumber(stored) or now
if due ~= due then due = now end
due = math.min(due, now + whole)
local earliest = due - (whole - interval)
if now < earliest then
  return {0, earliest - now}
end
local after = math.max(due, now) + interval
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {math.floor((now + whole - after) / interval), -1}";

/// KEYS: the client. ARGV: the interval in microseconds, the burst, what is charged in microseconds.
const CHARGE: &str = "\
local whole = tonumber(ARGV[1]) * tonumber(ARGV[2])
local stored = redis.pcall('GET', KEYS[1])
local due = type(stored) == 'string' and tonumber(stored) or now
if due ~= due then due = now end
due = math.max(math.min(due, now + whole), now)
local after = math.min(due + tonumber(ARGV[3]), now + whole)
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.max(1, math.ceil((after - now) / 1000)))
return 0";

/// The counters of every class and kind of payer, for all instances.
pub(super) struct SharedRateLimiter {
    redis: Redis,
    keys: Arc<KeyRing>,
    limits: Vec<Limit>,
    failed_authentication_cost: u32,
    check: Script,
    charge: Script,
}

impl SharedRateLimiter {
    /// Counters in `redis`, under keys made with the index key of `database`.
    pub(super) fn new(settings: &LimitSettings, redis: Redis, keys: Arc<KeyRing>) -> Self {
        Self {
            redis,
            keys,
            limits: Limit::all(settings),
            failed_authentication_cost: settings.failed_authentication_cost,
            check: Script::new(&format!("{REDIS_TIME}{CHECK}")),
            charge: Script::new(&format!("{REDIS_TIME}{CHARGE}")),
        }
    }

    /// Counts one request. `None` when nobody counts requests of this class.
    ///
    /// # Errors
    /// When Redis does not say.
    pub(super) async fn check(&self, class: LimitClass, payer: Payer<'_>) -> Result<Option<LimitCheck>> {
        let Some(limit) = self.limit(class, payer) else { return Ok(None) };
        let key = self.key(limit, payer);
        let said: (u32, i64) = self.redis.run("limit_check", &invocation(&self.check, &key, limit)).await?;
        let verdict = verdict(limit, said);
        let impossible = || Error::unavailable(crate::redis::NAME, "the counter's answer is out of range");
        verdict.map(Some).ok_or_else(impossible)
    }

    /// Makes a payer pay for a credential that was none.
    ///
    /// # Errors
    /// When Redis does not say.
    pub(super) async fn charge_failed_authentication(&self, payer: Payer<'_>) -> Result<()> {
        let Some(limit) = self.limit(LimitClass::Standard, payer) else { return Ok(()) };
        let key = self.key(limit, payer);
        let mut script = invocation(&self.charge, &key, limit);
        script.arg(interval_us(limit).saturating_mul(u64::from(self.failed_authentication_cost)));
        self.redis.run::<()>("limit_charge", &script).await
    }

    fn limit(&self, class: LimitClass, payer: Payer<'_>) -> Option<Limit> {
        let kind = payer.kind();
        if let Some(limit) = payer.own_limit(class) {
            return Some(limit);
        }
        self.limits.iter().find(|limit| limit.class == class && limit.payer_kind == kind).copied()
    }

    fn key(&self, limit: Limit, payer: Payer<'_>) -> String {
        let kind = match limit.payer_kind {
            PayerKind::Address => "address",
            PayerKind::Account(Role::User) => "user",
            PayerKind::Account(Role::Analyst) => "analyst",
            PayerKind::Account(Role::Admin) => "admin",
            PayerKind::ApiKey => "api_key",
            PayerKind::Subject => "subject",
        };
        let who = match payer {
            Payer::Address(address) => address.network().to_string(),
            Payer::Account { name, .. } | Payer::ApiKey { name, .. } | Payer::Subject(name) => {
                name.to_owned()
            }
        };
        let parts = [limit.name(), kind, &who].map(str::as_bytes);
        let hash = self.keys.keyed_hash("rate-limit", &parts);
        let mut key = self.redis.key(&format!("limit:{}:", limit.name()));
        // Half of the hash tells clients apart well enough.
        for byte in hash.iter().take(16) {
            // Writing to a text never fails.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

fn invocation<'a>(script: &'a Script, key: &str, limit: Limit) -> ScriptInvocation<'a> {
    let mut invocation = script.key(key);
    invocation.arg(interval_us(limit)).arg(limit.rate.burst.get());
    invocation
}

/// Rounded up: nobody is let through more often than the rate says.
fn interval_us(limit: Limit) -> u64 {
    u64::try_from(limit.interval().as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// `None` for what the script never says.
fn verdict(limit: Limit, (remaining, wait_us): (u32, i64)) -> Option<LimitCheck> {
    let burst = limit.rate.burst.get();
    let retry_after = match wait_us {
        -1 => None,
        _ => Some(u64::try_from(wait_us).ok()?),
    };
    let whole_us = interval_us(limit).saturating_mul(u64::from(burst));
    let is_possible = match retry_after {
        Some(wait_us) => remaining == 0 && wait_us <= whole_us,
        None => remaining < burst,
    };
    is_possible.then(|| LimitCheck { limit, remaining, retry_after: retry_after.map(Duration::from_micros) })
}

#[cfg(test)]
mod tests;
