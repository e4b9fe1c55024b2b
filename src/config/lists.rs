//! `[lists]` and `[statistics]`.

use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// How far lists of applications are counted and exported.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSettings {
    /// Most applications that are looked at for a total.
    pub exact_up_to: u32,
    /// Most applications of an export.
    pub export_max_rows: u32,
    /// Applications that an export reads at once.
    pub export_page_rows: u32,
    /// Longest run time of a statement of a list or a search.
    pub statement_timeout_ms: u64,
}

impl ListSettings {
    pub(super) fn validate(&self) -> Result<()> {
        let within = |value: u32, most: u32, key: &str| {
            require((1..=most).contains(&value), key, &format!("must be from 1 to {most}"))
        };
        within(self.exact_up_to, 1_000_000, "lists.exact_up_to")?;
        within(self.export_max_rows, 10_000_000, "lists.export_max_rows")?;
        within(self.export_page_rows, 5000, "lists.export_page_rows")?;
        require(self.statement_timeout_ms > 0, "lists.statement_timeout_ms", "must be above 0")
    }

    /// Longest run time of a statement of a list or a search.
    pub fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }
}

/// Counting what happens to applications.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsSettings {
    /// Events that are counted in one transaction.
    pub batch: u32,
    /// The shortest pause between two rounds of counting.
    pub min_interval_ms: u64,
    /// Most events of each kind that a reader adds to the counters itself.
    pub max_uncounted: u32,
}

impl StatisticsSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require((1..=100_000).contains(&self.batch), "statistics.batch", "must be from 1 to 100000")?;
        require(self.min_interval_ms >= 1, "statistics.min_interval_ms", "must be at least 1")?;
        let uncounted = 1..=1_000_000;
        require(
            uncounted.contains(&self.max_uncounted),
            "statistics.max_uncounted",
            "must be from 1 to 1000000",
        )
    }

    /// The shortest pause between two rounds of counting.
    pub fn min_interval(&self) -> Duration {
        Duration::from_millis(self.min_interval_ms)
    }
}
