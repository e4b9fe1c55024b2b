//! `[applications]`.

use chrono::TimeDelta;
use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Longest window of the duplicate rule: a month.
const MAX_WINDOW_HOURS: u32 = 744;

/// Rules about new applications that hold for every country.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewApplicationSettings {
    /// For how long an open application keeps its account from another one for the same document; 0 switches the rule
    /// off.
    pub duplicate_window_hours: u32,
    /// Whether a test document of the simulator may be used by several accounts without being reported as applied with
    /// elsewhere.
    pub shared_test_documents: bool,
}

impl NewApplicationSettings {
    /// The window of the duplicate rule; `None` when it is off.
    pub fn duplicate_window(&self) -> Option<TimeDelta> {
        (self.duplicate_window_hours > 0).then(|| TimeDelta::hours(i64::from(self.duplicate_window_hours)))
    }

    pub(super) fn validate(&self) -> Result<()> {
        require(
            self.duplicate_window_hours <= MAX_WINDOW_HOURS,
            "applications.duplicate_window_hours",
            "must be at most 744 (a month)",
        )
    }
}
