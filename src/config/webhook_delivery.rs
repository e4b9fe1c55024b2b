//! `[webhook_delivery]`: webhooks to the endpoints of other systems.

use std::time::Duration;

use chrono::TimeDelta;
use ipnet::IpNet;
use serde::Deserialize;

use super::{Environment, require};
use crate::error::{Error, Result};

/// The longest pause between two attempts, in milliseconds. Deliveries must end long before they expire.
const MAX_PAUSE_MS: u64 = 86_400_000;

/// How deliveries are attempted and kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookDeliverySettings {
    /// The time limit of an attempt, from resolving the name to the end of the response.
    pub timeout_ms: u64,
    /// The pauses before the second and each later attempt. The delivery is dead after the attempt that follows the last.
    pub pauses_ms: Vec<u64>,
    /// The largest number of concurrent attempts of this instance.
    pub max_in_flight: u32,
    /// The largest number of concurrent attempts of this instance at one endpoint.
    pub max_in_flight_per_endpoint: u32,
    /// An endpoint is disabled if every attempt of this period failed.
    pub disable_after_hours: u32,
    /// How long the previous secret stays valid after a rotation.
    pub secret_overlap_hours: u32,
    /// How long deliveries, attempts and bodies are kept.
    pub retention_days: u32,
    /// The largest number of endpoints.
    pub max_endpoints: u32,
    /// Whether the URLs of endpoints must have the scheme `https`.
    pub require_https: bool,
    /// Networks that endpoints may be in although their addresses are not public.
    pub allowed_networks: Vec<IpNet>,
}

impl WebhookDeliverySettings {
    pub(super) fn validate(&self) -> Result<()> {
        let within = |range: std::ops::RangeInclusive<u64>, value: u64, key: &str| {
            let rule = format!("must be from {} to {}", range.start(), range.end());
            require(range.contains(&value), &format!("webhook_delivery.{key}"), &rule)
        };
        within(100..=60_000, self.timeout_ms, "timeout_ms")?;
        require(
            (1..=20).contains(&self.pauses_ms.len())
                && self.pauses_ms.iter().all(|pause| (1..=MAX_PAUSE_MS).contains(pause)),
            "webhook_delivery.pauses_ms",
            "must be 1 to 20 pauses of 1 to 86400000 ms (a day)",
        )?;
        within(1..=1000, self.max_in_flight.into(), "max_in_flight")?;
        within(
            1..=u64::from(self.max_in_flight),
            self.max_in_flight_per_endpoint.into(),
            "max_in_flight_per_endpoint",
        )?;
        within(1..=8760, self.disable_after_hours.into(), "disable_after_hours")?;
        within(0..=8760, self.secret_overlap_hours.into(), "secret_overlap_hours")?;
        within(1..=36_500, self.retention_days.into(), "retention_days")?;
        within(1..=10_000, self.max_endpoints.into(), "max_endpoints")
    }

    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        if environment.is_production() && !self.require_https {
            return Err(Error::configuration("webhook_delivery.require_https must be true in production"));
        }
        Ok(())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// The number of attempts of a delivery.
    pub(crate) fn max_attempts(&self) -> i32 {
        i32::try_from(self.pauses_ms.len()).unwrap_or(i32::MAX).saturating_add(1)
    }

    /// The pause after the failed attempt with this number, counted from 1.
    pub(crate) fn pause_after(&self, attempt: i32) -> Duration {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
        let pause = self.pauses_ms.get(index).or(self.pauses_ms.last());
        Duration::from_millis(pause.copied().unwrap_or(MAX_PAUSE_MS))
    }

    pub(crate) fn disable_after(&self) -> TimeDelta {
        TimeDelta::hours(self.disable_after_hours.into())
    }

    pub(crate) fn secret_overlap(&self) -> TimeDelta {
        TimeDelta::hours(self.secret_overlap_hours.into())
    }
}
