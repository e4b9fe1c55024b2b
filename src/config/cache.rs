//! `[cache]`: cached responses.

use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Limits on size and age of cache entries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Whether responses are cached.
    pub enabled: bool,
    /// The maximum age of a cached application.
    pub application_ttl_ms: u64,
    /// The maximum age of a cached list page.
    pub list_ttl_ms: u64,
    /// The maximum age of cached statistics.
    pub statistics_ttl_ms: u64,
    /// How long cached statistics of all applications may be served after they have changed.
    pub statistics_grace_ms: u64,
    /// The maximum amount of memory for this instance's cache entries.
    pub capacity_bytes: u64,
    /// The length of the change log, which shows whether a cache entry is current.
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

    /// The longest lifetime of any cache entry.
    pub fn longest_ttl(&self) -> Duration {
        Duration::from_millis(self.application_ttl_ms.max(self.list_ttl_ms).max(self.statistics_ttl_ms))
    }
}
