//! `[webhooks]`: webhooks from bureaus and banks.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use super::{doubled, require};
use crate::domain::application::Country;
use crate::domain::confirmation::LEGACY_MAX_AGE;
use crate::domain::per_country::PerCountry;
use crate::error::Result;

/// Limits on received webhooks. Their secrets are in `[secrets]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// The maximum size of a body.
    pub body_limit_bytes: usize,
    /// The maximum difference between a signature's timestamp and Aval's clock.
    pub tolerance_ms: u64,
    /// How long received webhooks are kept for detecting duplicates.
    pub retention_days: u32,
    /// The number of attempts of the job that retries an event.
    pub max_attempts: i32,
    /// The pause before the first attempt of that job. It doubles with each attempt.
    pub retry_base_ms: u64,
    /// The maximum pause before an attempt.
    pub retry_max_ms: u64,
    /// Whether bureaus may sign with `X-Webhook-Signature` if `[webhooks.legacy]` does not name their country.
    legacy_by_default: bool,
    legacy: PerCountry<Option<bool>>,
}

impl WebhookSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(self.body_limit_bytes >= 1024, "webhooks.body_limit_bytes", "must be at least 1024")?;
        require(self.tolerance_ms >= 1000, "webhooks.tolerance_ms", "must be at least 1000")?;
        require(
            TimeDelta::days(self.retention_days.into()) > LEGACY_MAX_AGE,
            "webhooks.retention_days",
            "must be at least 30: legacy events are accepted for 29 days and must be kept longer to detect duplicates",
        )?;
        require((1..=100).contains(&self.max_attempts), "webhooks.max_attempts", "must be from 1 to 100")?;
        require(self.retry_base_ms >= 1, "webhooks.retry_base_ms", "must be at least 1")?;
        require(
            self.retry_base_ms <= self.retry_max_ms,
            "webhooks.retry_base_ms",
            "must be at most webhooks.retry_max_ms",
        )
    }

    /// Whether `country`'s bureau may use the legacy signature.
    pub fn legacy(&self, country: Country) -> bool {
        self.legacy.get(country).unwrap_or(self.legacy_by_default)
    }

    pub(crate) fn tolerance(&self) -> Duration {
        Duration::from_millis(self.tolerance_ms)
    }

    /// The pause before retry number `retry`, counted from 1.
    pub fn retry_pause(&self, retry: i32) -> Duration {
        doubled(self.retry_base_ms, self.retry_max_ms, retry)
    }
}
