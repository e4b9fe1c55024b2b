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
    /// The prefix of the streams in Redis. If empty, events are not written to them.
    pub stream: String,
    /// How many of the newest events the streams keep at most for groups that have not read them.
    pub stream_max_events: u32,
    /// The prefix of the consumer groups of Aval.
    pub group: String,
    /// The name of this instance in consumer groups. If empty, the name of the instance.
    pub consumer: String,
    /// How long an entry is pending before another instance takes it over.
    pub claim_idle_ms: u64,
    /// The interval at which streams are checked: for entries to take over, lost data and entries to delete.
    pub claim_interval_ms: u64,
    /// The stream that dead letters are copied to. If empty, `<stream>:dead-letters`.
    pub dead_letter_stream: String,
}

/// How much longer than one attempt an entry must be pending before another instance takes it over.
const CLAIM_GRACE_MS: u64 = 5000;

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
        )?;
        self.validate_streams()
    }

    fn validate_streams(&self) -> Result<()> {
        for (key, name, may_be_empty) in [
            ("events.stream", &self.stream, true),
            ("events.group", &self.group, false),
            ("events.consumer", &self.consumer, true),
            ("events.dead_letter_stream", &self.dead_letter_stream, true),
        ] {
            require(
                is_name(name) || may_be_empty && name.is_empty(),
                key,
                "must be at most 128 letters, digits, or one of - _ . :",
            )?;
        }
        require(
            (1000..=10_000_000).contains(&self.stream_max_events),
            "events.stream_max_events",
            "must be from 1000 to 10000000",
        )?;
        require(
            self.claim_idle_ms >= self.handler_timeout_ms.saturating_add(CLAIM_GRACE_MS),
            "events.claim_idle_ms",
            "must be at least events.handler_timeout_ms + 5000",
        )?;
        require(self.claim_interval_ms >= 10, "events.claim_interval_ms", "must be at least 10")
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// The maximum duration of one attempt at one event.
    pub fn handler_timeout(&self) -> Duration {
        Duration::from_millis(self.handler_timeout_ms)
    }

    /// How long an entry is pending before another instance takes it over.
    pub fn claim_idle(&self) -> Duration {
        Duration::from_millis(self.claim_idle_ms)
    }

    /// The interval at which streams are checked.
    pub fn claim_interval(&self) -> Duration {
        Duration::from_millis(self.claim_interval_ms)
    }

    /// The upper limit of the pause after attempt number `attempt`, counted from 1. The pause is chosen at random up to it.
    pub fn backoff_ceiling(&self, attempt: i32) -> Duration {
        doubled(self.backoff_ms, self.backoff_max_ms, attempt)
    }
}

/// Whether a text can be part of the names of keys, groups and consumers.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}
