//! `[events]`: consumers of events.

use std::time::Duration;

use serde::Deserialize;

use super::{doubled, require};
use crate::error::Result;

/// Settings of the consumers of events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSettings {
    /// The maximum number of events that a consumer handles in one transaction.
    pub batch: u32,
    /// How long an instance keeps its partitions without renewing their leases.
    pub lease_ms: u64,
    /// The maximum duration of one attempt at one event.
    pub handler_timeout_ms: u64,
    /// The upper limit of the pause before the second attempt. It doubles with each attempt.
    pub backoff_ms: u64,
    /// The upper limit of the pause before any attempt.
    pub backoff_max_ms: u64,
    /// The number of attempts after which an event becomes a dead letter.
    pub max_attempts: i32,
    /// How long published events are kept that a consumer has not read.
    pub unread_retention_hours: u32,
    /// How long dead letters are kept that no other event waits behind.
    pub dead_letter_retention_days: u32,
}

impl EventSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require((1..=10_000).contains(&self.batch), "events.batch", "must be from 1 to 10000")?;
        require(self.lease_ms >= 1000, "events.lease_ms", "must be at least 1000")?;
        require(
            (10..=300_000).contains(&self.handler_timeout_ms),
            "events.handler_timeout_ms",
            "must be from 10 to 300000",
        )?;
        require(
            self.backoff_ms <= self.backoff_max_ms,
            "events.backoff_ms",
            "must be at most events.backoff_max_ms",
        )?;
        require((1..=100).contains(&self.max_attempts), "events.max_attempts", "must be from 1 to 100")?;
        require(
            self.dead_letter_retention_days >= 1,
            "events.dead_letter_retention_days",
            "must be at least 1",
        )
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// The maximum duration of one attempt at one event.
    pub fn handler_timeout(&self) -> Duration {
        Duration::from_millis(self.handler_timeout_ms)
    }

    /// The upper limit of the pause after attempt number `attempt`, counted from 1. The pause is chosen at random up to it.
    pub fn backoff_ceiling(&self, attempt: i32) -> Duration {
        doubled(self.backoff_ms, self.backoff_max_ms, attempt)
    }
}
