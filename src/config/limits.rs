//! `[limits]`: rate limits.
//!
//! Each class of routes has two limits. One applies to the client's address and is counted before authentication. The
//! other applies to the account, by role, or to the API key. A request must pass both: this stops many accounts behind
//! one address as well as one account behind many addresses.

use std::num::NonZeroU32;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// The largest number of events in a request.
const MAX_EVENTS: u32 = 1000;
const MINUTES_OF_A_DAY: u64 = 24 * 60;

/// The rate of a token bucket: a sustained rate and a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Sustained requests per minute.
    pub per_minute: NonZeroU32,
    /// The maximum number of requests at once after a period without requests.
    pub burst: NonZeroU32,
}

/// The rates of one class of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRates {
    /// For each client address.
    pub address: Rate,
    /// For each account with the role `user`, each bureau that sends webhooks, and each account name tried in sign-ins.
    pub user: Rate,
    /// For each account with the role `analyst`.
    pub analyst: Rate,
    /// For each account with the role `admin`.
    pub admin: Rate,
    /// For each API key without a rate of its own. If absent, the `user` rate applies.
    pub api_key: Option<Rate>,
}

/// The rate limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Whether rate limits are enforced.
    pub enabled: bool,
    /// The maximum number of clients tracked per limit. Further clients share a fixed number of counters.
    pub max_clients: usize,
    /// The number of additional requests that are counted for an address after a failed authentication.
    pub failed_authentication_cost: u32,
    /// `POST /api/v1/applications`.
    pub create: ClassRates,
    /// Webhooks from bureaus.
    pub webhook: ClassRates,
    /// `POST /api/v1/auth/login`.
    pub login: ClassRates,
    /// `POST /api/v1/ingest/events`: requests of addresses, and events of accounts and API keys.
    pub ingest: ClassRates,
    /// Everything else.
    pub standard: ClassRates,
}

impl LimitSettings {
    pub(super) fn validate(&self) -> Result<()> {
        for (class, rates) in [
            ("create", &self.create),
            ("webhook", &self.webhook),
            ("login", &self.login),
            ("ingest", &self.ingest),
            ("standard", &self.standard),
        ] {
            let all = [
                Some(rates.address),
                Some(rates.user),
                Some(rates.analyst),
                Some(rates.admin),
                rates.api_key,
            ];
            for rate in all.into_iter().flatten() {
                require(
                    u64::from(rate.burst.get()) <= u64::from(rate.per_minute.get()) * MINUTES_OF_A_DAY,
                    &format!("limits.{class}"),
                    "has a burst that takes more than a day to refill",
                )?;
            }
        }
        let ingest = &self.ingest;
        let of_events = [Some(ingest.user), Some(ingest.analyst), Some(ingest.admin), ingest.api_key];
        require(
            of_events.into_iter().flatten().all(|rate| rate.burst.get() >= MAX_EVENTS),
            "limits.ingest",
            "has a burst below 1000 events, the size of a request",
        )?;
        require(self.max_clients >= 1000, "limits.max_clients", "must be at least 1000")
    }
}
