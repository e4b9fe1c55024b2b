//! `[reviews]`: the assignment of applications under review.

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Longest assignment: a day.
const MAX_ASSIGNMENT_MINUTES: u16 = 1440;

/// The review queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewSettings {
    /// How long an application stays assigned to an account that does not extend the assignment.
    pub assignment_minutes: u16,
}

impl ReviewSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(
            (1..=MAX_ASSIGNMENT_MINUTES).contains(&self.assignment_minutes),
            "reviews.assignment_minutes",
            "must be from 1 to 1440 (a day)",
        )
    }
}
