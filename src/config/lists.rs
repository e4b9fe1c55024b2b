//! `[lists]` and `[statistics]`: limits on counting and exporting.

use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Limits on list totals and exports.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSettings {
    /// The number of applications up to which a list's total is exact. A larger total is a lower bound.
    pub exact_up_to: u32,
    /// The maximum number of applications in an export.
    pub export_max_rows: u32,
    /// The number of applications that an export reads per statement.
    pub export_page_rows: u32,
    /// PostgreSQL's `statement_timeout` for lists and searches.
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

    pub(crate) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }
}

/// Settings for counting published events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsSettings {
    /// The maximum number of events counted in one transaction.
    pub batch: u32,
    /// The minimum interval between two counting transactions.
    pub min_interval_ms: u64,
    /// The maximum number of published events, and of unpublished events, that a reader adds to the stored counters.
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

    pub(crate) fn min_interval(&self) -> Duration {
        Duration::from_millis(self.min_interval_ms)
    }
}
