//! `[jobs]`, `[outbox]` and `[redecision]`.

use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// The queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// The backstop poll.
    pub poll_interval_ms: u64,
    /// Most jobs of one claim.
    pub claim_batch: u32,
    /// Life of a lease without a heartbeat.
    pub lease_ms: u64,
    /// How often a lease is renewed.
    pub heartbeat_ms: u64,
    /// Attempts before a job is a dead letter.
    pub max_attempts: i32,
    /// The first retry's longest pause.
    pub retry_base_ms: u64,
    /// Any retry's longest pause.
    pub retry_max_ms: u64,
    /// Longest run of one attempt, and longest wait for a bureau that asks for patience.
    pub timeout_ms: u64,
    /// Pause of a job that found its bulkhead full.
    pub overflow_snooze_ms: u64,
    /// How long finished jobs are kept, by whole months.
    pub history_retention_days: u32,
}

impl JobSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(self.poll_interval_ms >= 10, "jobs.poll_interval_ms", "must be at least 10")?;
        require((1..=1000).contains(&self.claim_batch), "jobs.claim_batch", "must be from 1 to 1000")?;
        require(
            self.heartbeat_ms > 0 && self.heartbeat_ms * 2 <= self.lease_ms,
            "jobs.heartbeat_ms",
            "must be above 0 and at most half of jobs.lease_ms",
        )?;
        require((1..=100).contains(&self.max_attempts), "jobs.max_attempts", "must be from 1 to 100")?;
        require(self.timeout_ms >= 1000, "jobs.timeout_ms", "must be at least 1000")?;
        require(
            (7..=36_500).contains(&self.history_retention_days),
            "jobs.history_retention_days",
            "must be from 7 to 36500: the database itself lets no younger month go",
        )
    }

    /// The longest pause after attempt number `attempt` (from 1) failed; the pause is drawn below it.
    pub fn retry_ceiling(&self, attempt: i32) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(30);
        Duration::from_millis(self.retry_base_ms.saturating_mul(1 << doublings).min(self.retry_max_ms))
    }
}

/// Relay and bus.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxSettings {
    /// Most events of one publication.
    pub publish_batch: u32,
    /// The backstop poll.
    pub poll_interval_ms: u64,
    /// How often leadership is tried for.
    pub leader_retry_ms: u64,
    /// How long events are kept.
    pub retention_hours: u32,
}

impl OutboxSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(
            (1..=10_000).contains(&self.publish_batch),
            "outbox.publish_batch",
            "must be from 1 to 10000",
        )?;
        require(self.poll_interval_ms >= 10, "outbox.poll_interval_ms", "must be at least 10")?;
        require(self.leader_retry_ms >= 10, "outbox.leader_retry_ms", "must be at least 10")?;
        require(self.retention_hours >= 1, "outbox.retention_hours", "must be at least 1")
    }
}

/// Deciding again what was decided without its bureau.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedecisionSettings {
    /// Most applications queued a second for each country.
    pub per_second: u32,
    /// The shortest time between two tries of one application.
    pub min_interval_ms: u64,
    /// The longest.
    pub max_interval_ms: u64,
    /// How often the leader looks.
    pub tick_ms: u64,
}

impl RedecisionSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(self.per_second >= 1, "redecision.per_second", "must be at least 1")?;
        require(self.tick_ms >= 10, "redecision.tick_ms", "must be at least 10")?;
        require(
            self.min_interval_ms <= self.max_interval_ms,
            "redecision.min_interval_ms",
            "must be at most redecision.max_interval_ms",
        )
    }
}
