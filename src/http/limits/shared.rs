//! The rate limiter shared by all instances, in Redis.
//!
//! Scripts in Redis compute the same GCRA as governor does in memory. The state of a client is its theoretical arrival
//! time in microseconds of the Redis clock, so the clocks of instances need not agree. Keys end with a keyed hash of the
//! client, because addresses and names are personal data, and expire as soon as the quota is fully restored.
//!
//! ```text
//! <prefix>:limit:<limit>:<hex>  =  microseconds since 1970
//! ```
//!
//! While Redis is unavailable, each instance counts in memory, starting from zero. If the Redis clock is set back, a
//! client waits no longer than the time that restores a whole burst. The counters cannot be encrypted, because the
//! scripts compute with them: anyone with write access to Redis can set a client's count to any value between zero and
//! a whole burst. A value of another type counts as none, and an impossible result is refused.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Script, ScriptInvocation};

use super::{Limit, LimitCheck, LimitClass, Requester, RequesterKind};
use crate::config::LimitSettings;
use crate::domain::account::Role;
use crate::error::{Error, Result};
use crate::redis::{Operation, Redis};
use crate::storage::seal::KeyRing;

/// Defines `now`, the time of the Redis clock in microseconds.
const REDIS_TIME: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
";

/// Counts requests, all or none. KEYS: the client. ARGV: the interval in microseconds, the burst, the number of requests
/// (0: whether one more is allowed). Returns the number of further requests allowed and the wait in microseconds, or -1 if
/// the requests are allowed.
const CHECK: &str = "\
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local whole = interval * burst
local stored = redis.pcall('GET', KEYS[1])
local due = type(stored) == 'string' and tonumber(stored) or now
if due ~= due then due = now end
due = math.min(due, now + whole)
local earliest = due - (whole - interval * math.max(cost, 1))
if now < earliest then
  return {cost == 0 and math.floor((now + whole - due) / interval) or 0, earliest - now}
end
local after = math.max(due, now) + interval * cost
if cost > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
end
return {math.floor((now + whole - after) / interval), -1}";

/// Charges a client. KEYS: the client. ARGV: the interval in microseconds, the burst, the charge in microseconds.
const CHARGE: &str = "\
local whole = tonumber(ARGV[1]) * tonumber(ARGV[2])
local stored = redis.pcall('GET', KEYS[1])
local due = type(stored) == 'string' and tonumber(stored) or now
if due ~= due then due = now end
due = math.max(math.min(due, now + whole), now)
local after = math.min(due + tonumber(ARGV[3]), now + whole)
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.max(1, math.ceil((after - now) / 1000)))
return 0";

/// The shared counters for every class and requester kind.
pub(super) struct SharedRateLimiter {
    redis: Redis,
    keys: Arc<KeyRing>,
    limits: Vec<Limit>,
    failed_authentication_cost: u32,
    check: Script,
    charge: Script,
}

impl SharedRateLimiter {
    /// Counters in `redis`, whose keys are derived from `keys`.
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

    /// Counts `cost` requests or events (see [`super::RateLimiter::check_many`]). Fails if Redis is unavailable.
    pub(super) async fn check(
        &self,
        class: LimitClass,
        requester: Requester<'_>,
        cost: u32,
    ) -> Result<Option<LimitCheck>> {
        let Some(limit) = self.limit(class, requester) else { return Ok(None) };
        let key = self.key(limit, requester);
        let cost = cost.min(limit.rate.burst.get());
        let mut script = invocation(&self.check, &key, limit);
        let result: (u32, i64) = self.redis.run(Operation::LimitCheck, script.arg(cost)).await?;
        let check = parse_result(limit, cost, result);
        let impossible = || Error::unavailable(crate::redis::NAME, "the counter's result is out of range");
        check.map(Some).ok_or_else(impossible)
    }

    /// Charges a requester for a failed authentication. Fails if Redis is unavailable.
    pub(super) async fn charge_failed_authentication(&self, requester: Requester<'_>) -> Result<()> {
        let Some(limit) = self.limit(LimitClass::Standard, requester) else { return Ok(()) };
        let key = self.key(limit, requester);
        let mut script = invocation(&self.charge, &key, limit);
        script.arg(interval_us(limit).saturating_mul(u64::from(self.failed_authentication_cost)));
        self.redis.run::<()>(Operation::LimitCharge, &script).await
    }

    fn limit(&self, class: LimitClass, requester: Requester<'_>) -> Option<Limit> {
        let kind = requester.kind();
        if let Some(limit) = requester.own_limit(class) {
            return Some(limit);
        }
        self.limits.iter().find(|limit| limit.class == class && limit.requester_kind == kind).copied()
    }

    fn key(&self, limit: Limit, requester: Requester<'_>) -> String {
        let kind = match limit.requester_kind {
            RequesterKind::Address => "address",
            RequesterKind::Account(Role::User) => "user",
            RequesterKind::Account(Role::Analyst) => "analyst",
            RequesterKind::Account(Role::Admin) => "admin",
            RequesterKind::ApiKey => "api_key",
            RequesterKind::Subject => "subject",
        };
        let who = match requester {
            Requester::Address(address) => address.network().to_string(),
            Requester::Account { name, .. } | Requester::ApiKey { name, .. } | Requester::Subject(name) => {
                name.to_owned()
            }
        };
        let parts = [limit.name(), kind, &who].map(str::as_bytes);
        let hash = self.keys.keyed_hash("rate-limit", &parts);
        let mut key = self.redis.key(&format!("limit:{}:", limit.name()));
        // Half of the hash is enough to distinguish clients.
        for byte in hash.iter().take(16) {
            // Writing to a `String` never fails.
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

/// Rounded up, so that the rate is never exceeded.
fn interval_us(limit: Limit) -> u64 {
    u64::try_from(limit.interval().as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// Parses the result of the script; `None` for results that it cannot return.
fn parse_result(limit: Limit, cost: u32, (remaining, wait_us): (u32, i64)) -> Option<LimitCheck> {
    let burst = limit.rate.burst.get();
    let retry_after = match wait_us {
        -1 => None,
        _ => Some(u64::try_from(wait_us).ok()?),
    };
    let whole_us = interval_us(limit).saturating_mul(u64::from(burst));
    let is_possible = match retry_after {
        Some(wait_us) => remaining == 0 && wait_us <= whole_us,
        None => remaining <= burst.saturating_sub(cost),
    };
    is_possible.then(|| LimitCheck { limit, remaining, retry_after: retry_after.map(Duration::from_micros) })
}

#[cfg(test)]
mod tests;
