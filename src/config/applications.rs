//! `[applications]`: settings for new applications in every country.

use chrono::TimeDelta;
use serde::Deserialize;

use super::require;
use crate::error::Result;

/// The maximum window of the duplicate rule: 31 days.
const MAX_WINDOW_HOURS: u32 = 744;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
/// Settings for duplicate applications and shared test documents.
pub struct NewApplicationSettings {
    /// How long an open application prevents another one by the same account for the same document; 0 to allow
    /// duplicates.
    pub duplicate_window_hours: u32,
    /// Whether applications with a test document are not sent to review although another account used the same document.
    pub shared_test_documents: bool,
}

impl NewApplicationSettings {
    /// The window of the duplicate rule; `None` if duplicates are allowed.
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
