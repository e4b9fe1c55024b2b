//! `[staff_views]`: audit views, the records of applications that staff have viewed.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Retention and batching of audit views.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaffViewSettings {
    /// How long an audit view is kept.
    pub retention_days: u32,
    /// The number of queued audit views at which they are written without waiting for the interval.
    pub batch_size: usize,
    /// The maximum delay before an audit view is written.
    pub flush_interval_ms: u64,
    /// The maximum number of audit views queued while the database is unavailable.
    pub queue: usize,
}

impl StaffViewSettings {
    pub(crate) fn retention(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.retention_days))
    }

    pub(crate) fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_interval_ms)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let days = 1..=36_500;
        require(
            days.contains(&self.retention_days),
            "staff_views.retention_days",
            "must be from 1 to 36500",
        )?;
        require((1..=5000).contains(&self.batch_size), "staff_views.batch_size", "must be from 1 to 5000")?;
        require(self.flush_interval_ms >= 10, "staff_views.flush_interval_ms", "must be at least 10")?;
        require(self.queue >= self.batch_size, "staff_views.queue", "must be at least staff_views.batch_size")
    }
}
