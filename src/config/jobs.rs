//! `[jobs]`, `[outbox]` and `[redecision]`.

use std::time::Duration;

use serde::Deserialize;

use super::{doubled, require};
use crate::error::Result;

/// Settings of the job queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// The poll interval in case a notification is lost.
    pub poll_interval_ms: u64,
    /// The maximum number of jobs claimed in one statement.
    pub claim_batch: u32,
    /// How long a lease lasts without a heartbeat.
    pub lease_ms: u64,
    /// The interval at which leases are renewed.
    pub heartbeat_ms: u64,
    /// The number of attempts after which the job of an application becomes a dead letter.
    pub max_attempts: i32,
    /// The upper limit of the delay before the first retry. It doubles with each retry.
    pub retry_base_ms: u64,
    /// The upper limit of the delay before any retry.
    pub retry_max_ms: u64,
    /// The maximum duration of an attempt. A job also waits no longer than this for a bureau that responds with 429.
    pub timeout_ms: u64,
    /// The minimum snooze of a job whose country's bulkhead is full or whose breaker is open.
    pub overflow_snooze_ms: u64,
    /// How long finished jobs are kept. Whole months are deleted.
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
            "must be from 7 to 36500: the database refuses to drop younger months",
        )
    }

    /// The upper limit of the delay after attempt number `attempt`, counted from 1. The delay is chosen at random up to it.
    pub fn retry_ceiling(&self, attempt: i32) -> Duration {
        doubled(self.retry_base_ms, self.retry_max_ms, attempt)
    }
}

/// Settings of the relay.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxSettings {
    /// The maximum number of events published in one transaction.
    pub publish_batch: u32,
    /// The poll interval in case a notification is lost.
    pub poll_interval_ms: u64,
    /// The interval at which an instance tries to become the leader.
    pub leader_retry_ms: u64,
    /// How long published events are kept.
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

/// Settings for re-decisions on applications that were decided on fallback figures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedecisionSettings {
    /// The maximum number of applications queued per second and country.
    pub per_second: u32,
    /// The minimum interval between two decisions on one application.
    pub min_interval_ms: u64,
    /// The maximum interval between two decisions on one application.
    pub max_interval_ms: u64,
    /// How often the leader looks for applications.
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
