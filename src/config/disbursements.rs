//! `[disbursements]`: how approved applications are paid out.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use super::providers::{BreakerSettings, CallSettings};
use super::remote::is_unencrypted_to_remote;
use super::{Environment, doubled, require};
use crate::domain::application::Country;
use crate::domain::disbursement::rail::Rail;
use crate::domain::money::Money;
use crate::error::Result;

/// How disbursements are paid and approved.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisbursementSettings {
    /// The largest number of steps that an instance runs at once.
    pub max_in_flight: u32,
    /// The number of attempts of a step before it fails permanently.
    pub max_attempts: i32,
    /// The limit of the pause after the first failed attempt. It doubles with each attempt.
    pub retry_backoff_ms: u64,
    /// The longest pause between two attempts.
    pub retry_backoff_max_ms: u64,
    /// The pause between two inquiries about an unanswered payment.
    pub inquiry_pause_ms: u64,
    /// The pause between two inquiries about an accepted payment. The rail's webhook ends the wait earlier.
    pub confirmation_pause_ms: u64,
    /// After this time without an outcome of the payment, the disbursement is `STUCK`.
    pub stuck_after_ms: u64,
    /// How long a request for a second person's approval is valid.
    pub approval_hours: u32,
    /// The largest amounts that one person may pay out.
    pub approval_above: ApprovalLimits,
    /// The addresses of the rails.
    pub rails: RailAddresses,
    /// Whether rails without an address are simulated in production.
    pub simulator: bool,
    /// Time-outs, bulkhead and retries of calls to a rail.
    pub call: CallSettings,
    /// The circuit breaker of each rail.
    pub breaker: BreakerSettings,
}

/// Amounts per country, in its currency. A larger amount needs the approval of a second person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalLimits {
    es: u64,
    pt: u64,
    it: u64,
    mx: u64,
    co: u64,
    br: u64,
}

/// The base URL of each rail; empty: the built-in simulator, or no disbursements.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RailAddresses {
    sepa: String,
    spei: String,
    pix: String,
    co_ach: String,
}

impl DisbursementSettings {
    pub(super) fn validate(&self) -> Result<()> {
        let within = |range: std::ops::RangeInclusive<u64>, value: u64, key: &str| {
            let rule = format!("must be from {} to {}", range.start(), range.end());
            require(range.contains(&value), &format!("disbursements.{key}"), &rule)
        };
        within(1..=1000, self.max_in_flight.into(), "max_in_flight")?;
        within(1..=100, u64::try_from(self.max_attempts).unwrap_or(0), "max_attempts")?;
        within(1..=86_400_000, self.inquiry_pause_ms, "inquiry_pause_ms")?;
        within(1..=86_400_000, self.confirmation_pause_ms, "confirmation_pause_ms")?;
        within(1..=2_592_000_000, self.stuck_after_ms, "stuck_after_ms")?;
        within(1..=720, self.approval_hours.into(), "approval_hours")?;
        within(1..=1000, self.call.max_in_flight.into(), "call.max_in_flight")?;
        within(1..=600_000, self.call.call_timeout_ms, "call.call_timeout_ms")
    }

    /// In production, requires encrypted connections to other machines.
    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        if !environment.is_production() {
            return Ok(());
        }
        for rail in Rail::ALL {
            let name = format!("disbursements.rails.{}", rail.as_str());
            let rule = "would send account numbers to another machine unencrypted: use https://";
            require(!self.rails.of(*rail).is_some_and(is_unencrypted_to_remote), &name, rule)?;
        }
        Ok(())
    }

    /// Whether rails without an address are simulated.
    pub(crate) fn is_simulated(&self, environment: Environment) -> bool {
        self.simulator || !environment.is_production()
    }

    /// Whether a rail can be used: it has an address or is simulated.
    pub(crate) fn is_available(&self, rail: Rail, environment: Environment) -> bool {
        self.rails.of(rail).is_some() || self.is_simulated(environment)
    }

    /// Whether an amount needs the approval of a second person.
    pub(crate) fn needs_approval(&self, country: Country, amount: Money) -> bool {
        amount.amount() > self.approval_above.of(country).into()
    }

    pub(crate) fn longest_pause(&self, attempt: i32) -> Duration {
        doubled(self.retry_backoff_ms, self.retry_backoff_max_ms, attempt)
    }

    pub(crate) fn inquiry_pause(&self) -> Duration {
        Duration::from_millis(self.inquiry_pause_ms)
    }

    pub(crate) fn confirmation_pause(&self) -> Duration {
        Duration::from_millis(self.confirmation_pause_ms)
    }

    pub(crate) fn stuck_after(&self) -> TimeDelta {
        TimeDelta::milliseconds(i64::try_from(self.stuck_after_ms).unwrap_or(i64::MAX / 2))
    }

    pub(crate) fn approval_time(&self) -> TimeDelta {
        TimeDelta::hours(self.approval_hours.into())
    }
}

impl ApprovalLimits {
    const fn of(&self, country: Country) -> u64 {
        match country {
            Country::Es => self.es,
            Country::Pt => self.pt,
            Country::It => self.it,
            Country::Mx => self.mx,
            Country::Co => self.co,
            Country::Br => self.br,
        }
    }
}

impl RailAddresses {
    /// The base URL of a rail; `None` if it is not set.
    pub fn of(&self, rail: Rail) -> Option<&str> {
        let url = match rail {
            Rail::Sepa => &self.sepa,
            Rail::Spei => &self.spei,
            Rail::Pix => &self.pix,
            Rail::CoAch => &self.co_ach,
        };
        Some(url.trim_end_matches('/')).filter(|url| !url.is_empty())
    }
}
