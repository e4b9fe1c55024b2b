//! `[cache]`: answers that are kept for a while.

use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// What is kept, how much of it and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Whether anything is kept at all.
    pub enabled: bool,
    /// How long one application is kept.
    pub application_ttl_ms: u64,
    /// How long a part of a list is kept.
    pub list_ttl_ms: u64,
    /// How long statistics are kept.
    pub statistics_ttl_ms: u64,
    /// How old statistics of everybody's applications may be although something has changed.
    pub statistics_grace_ms: u64,
    /// Most memory of the copies of this instance.
    pub capacity_bytes: u64,
    /// Changed applications that are remembered, to tell good copies from old ones.
    pub remembered_changes: usize,
}

impl CacheSettings {
    pub(super) fn validate(&self) -> Result<()> {
        for (key, ttl_ms) in [
            ("cache.application_ttl_ms", self.application_ttl_ms),
            ("cache.list_ttl_ms", self.list_ttl_ms),
            ("cache.statistics_ttl_ms", self.statistics_ttl_ms),
        ] {
            require((1..=86_400_000).contains(&ttl_ms), key, "must be from 1 to 86400000")?;
        }
        require(self.remembered_changes >= 1000, "cache.remembered_changes", "must be at least 1000")
    }

    /// The longest time that any copy is kept.
    pub fn longest_ttl(&self) -> Duration {
        Duration::from_millis(self.application_ttl_ms.max(self.list_ttl_ms).max(self.statistics_ttl_ms))
    }
}
