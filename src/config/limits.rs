//! `[limits]`: how often a client may ask.
//!
//! Each class of routes has a rate for each address, which is counted before anybody knows who asks, and one for each
//! account, by its role, or for each API key. A request must fit both, so that neither many accounts behind one address nor one account behind many
//! addresses is a way round.

use std::num::NonZeroU32;

use serde::Deserialize;

use super::require;
use crate::error::Result;

const MINUTES_OF_A_DAY: u64 = 24 * 60;

/// So many a minute in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a minute.
    pub per_minute: NonZeroU32,
    /// Requests that may come together after a pause.
    pub burst: NonZeroU32,
}

/// The rates of one class of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRates {
    /// For each client address, whoever asks.
    pub address: Rate,
    /// For each account with the role `user`, and for each subject that is no account.
    pub user: Rate,
    /// For each account with the role `analyst`.
    pub analyst: Rate,
    /// For each account with the role `admin`.
    pub admin: Rate,
    /// For each API key that has no rate of its own; that of a user when absent.
    pub api_key: Option<Rate>,
}

/// The rate limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Whether requests are counted at all.
    pub enabled: bool,
    /// Most clients that each rate remembers.
    pub max_clients: usize,
    /// What a refused authentication costs its address besides the request itself.
    pub failed_authentication_cost: u32,
    /// Making applications.
    pub create: ClassRates,
    /// Webhooks of bureaus.
    pub webhook: ClassRates,
    /// Logging in.
    pub login: ClassRates,
    /// Everything else.
    pub standard: ClassRates,
}

impl LimitSettings {
    pub(super) fn validate(&self) -> Result<()> {
        for (class, rates) in [
            ("create", &self.create),
            ("webhook", &self.webhook),
            ("login", &self.login),
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
                    "has a burst that is not earned again within a day",
                )?;
            }
        }
        require(self.max_clients >= 1000, "limits.max_clients", "must be at least 1000")
    }
}
