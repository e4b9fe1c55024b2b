//! The state machine of an application's status, as one table.
//!
//! Code, documentation, API responses and tests are derived from [`EDGES`]. A database trigger enforces the same table,
//! and a test compares every pair of statuses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
/// The status of an application.
pub enum Status {
    /// Created but not processed yet.
    Pending,
    /// In progress.
    Validating,
    /// Granted; not disbursed yet.
    Approved,
    /// Declined. Terminal.
    Rejected,
    /// A person must decide.
    UnderReview,
    /// Withdrawn before processing. Terminal.
    Cancelled,
    /// Disbursed. Terminal.
    Completed,
}

/// The initiator of a status change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// A processing job, including re-decisions after a bureau's outage.
    ApplicationActor,
    /// A signed confirmation from a bank or bureau.
    Webhook,
    /// The account that created the application.
    Owner,
    /// An analyst or an admin.
    Staff,
    /// The disbursement workflow.
    Disbursement,
}

/// A permitted transition and its possible initiators.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// The status before the transition.
    pub from: Status,
    /// The status after the transition.
    pub to: Status,
    /// The possible initiators.
    pub by: &'static [Initiator],
}

use Initiator::{ApplicationActor, Disbursement, Owner, Staff, Webhook};
use Status::{Approved, Cancelled, Completed, Pending, Rejected, UnderReview, Validating};

/// Every permitted transition. All others are illegal.
pub const EDGES: [Edge; 8] = [
    Edge { from: Pending, to: Validating, by: &[ApplicationActor, Webhook] },
    Edge { from: Pending, to: Cancelled, by: &[Owner, Staff] },
    Edge { from: Validating, to: Approved, by: &[ApplicationActor, Webhook] },
    Edge { from: Validating, to: Rejected, by: &[ApplicationActor, Webhook] },
    Edge { from: Validating, to: UnderReview, by: &[ApplicationActor, Webhook] },
    Edge { from: UnderReview, to: Approved, by: &[Staff, Webhook, ApplicationActor] },
    Edge { from: UnderReview, to: Rejected, by: &[Staff, Webhook, ApplicationActor] },
    Edge { from: Approved, to: Completed, by: &[Disbursement] },
];

impl Status {
    /// Every status, in the order of processing.
    pub const ALL: [Self; 7] = [Pending, Validating, Approved, Rejected, UnderReview, Cancelled, Completed];

    /// The name used in JSON, SQL and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Pending => "PENDING",
            Validating => "VALIDATING",
            Approved => "APPROVED",
            Rejected => "REJECTED",
            UnderReview => "UNDER_REVIEW",
            Cancelled => "CANCELLED",
            Completed => "COMPLETED",
        }
    }

    /// Whether any initiator may change this status to `to`.
    pub fn may_become(self, to: Self) -> bool {
        EDGES.iter().any(|edge| edge.from == self && edge.to == to)
    }

    /// The statuses that `initiator` may change this status to.
    pub fn next_for(self, initiator: Initiator) -> impl Iterator<Item = Self> {
        EDGES.iter().filter(move |edge| edge.from == self && edge.by.contains(&initiator)).map(|edge| edge.to)
    }

    /// Whether an application with this status is open. A deleted application is never open. An account may have one open
    /// application per document within the duplicate window. The trigger `release_document_claim` implements the same
    /// rule; a test compares the two.
    pub fn is_open(self) -> bool {
        !self.is_terminal()
    }

    /// Whether no transition leads from this status.
    pub fn is_terminal(self) -> bool {
        EDGES.iter().all(|edge| edge.from != self)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a string that is not the name of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a status")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_statuses_match_the_specification() {
        let terminal: Vec<_> = Status::ALL.into_iter().filter(|s| s.is_terminal()).collect();
        assert_eq!(terminal, [Rejected, Cancelled, Completed]);
    }

    #[test]
    fn edges_are_unique_and_none_leads_back_to_its_own_status() {
        for (i, a) in EDGES.iter().enumerate() {
            assert_ne!(a.from, a.to);
            assert!(EDGES.iter().skip(i + 1).all(|b| (a.from, a.to) != (b.from, b.to)));
        }
    }

    #[test]
    fn staff_may_cancel_pending_and_decide_reviewed_applications() {
        assert_eq!(Pending.next_for(Staff).collect::<Vec<_>>(), [Cancelled]);
        assert_eq!(UnderReview.next_for(Staff).collect::<Vec<_>>(), [Approved, Rejected]);
        assert_eq!(UnderReview.next_for(Owner).count(), 0);
        assert_eq!(Approved.next_for(Staff).count(), 0);
    }

    #[test]
    fn names_are_the_same_in_json_and_text() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }
}
