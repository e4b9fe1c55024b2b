//! The status machine of an application, as one table.
//!
//! Code, documentation, API answers and tests follow [`EDGES`]; the database enforces the same table by trigger,
//! and a test holds every pair of statuses against both.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Accepted, nothing done yet.
    Pending,
    /// Being checked by an application actor.
    Validating,
    /// Granted.
    Approved,
    /// Declined. Final.
    Rejected,
    /// Waiting for a human.
    UnderReview,
    /// Withdrawn before it was looked at. Final.
    Cancelled,
    /// Disbursed. Final.
    Completed,
}

/// Who asks for a status change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// The application actor, and the re-decision after a provider's outage.
    ApplicationActor,
    /// A bank's or bureau's signed confirmation.
    Webhook,
    /// The applicant's own account.
    Owner,
    /// A credit analyst or an administrator.
    Staff,
    /// The disbursement workflow.
    Disbursement,
}

/// One permitted change and who may make it.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// The status before.
    pub from: Status,
    /// The status after.
    pub to: Status,
    /// Who may.
    pub by: &'static [Initiator],
}

use Initiator::{ApplicationActor, Disbursement, Owner, Staff, Webhook};
use Status::{Approved, Cancelled, Completed, Pending, Rejected, UnderReview, Validating};

/// Every permitted change. What is not here is illegal.
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
    /// Every status, in the order of an application's life.
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

    /// Whether anybody may move an application from here to `to`.
    pub fn may_become(self, to: Self) -> bool {
        EDGES.iter().any(|edge| edge.from == self && edge.to == to)
    }

    /// Where `mover` may take an application from here.
    pub fn next_for(self, mover: Initiator) -> impl Iterator<Item = Self> {
        EDGES.iter().filter(move |edge| edge.from == self && edge.by.contains(&mover)).map(|edge| edge.to)
    }

    /// Whether an application with this status is open, unless it is deleted: only one of an account may be for a document
    /// within the duplicate window. The trigger `release_document_claim` has the same rule; a test compares them.
    pub fn is_open(self) -> bool {
        !self.is_final()
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        EDGES.iter().all(|edge| edge.from != self)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no status.
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
    fn the_final_statuses_are_the_three_of_the_specification() {
        let finals: Vec<_> = Status::ALL.into_iter().filter(|s| s.is_final()).collect();
        assert_eq!(finals, [Rejected, Cancelled, Completed]);
    }

    #[test]
    fn no_edge_is_listed_twice_or_leads_back_to_itself() {
        for (i, a) in EDGES.iter().enumerate() {
            assert_ne!(a.from, a.to);
            assert!(EDGES.iter().skip(i + 1).all(|b| (a.from, a.to) != (b.from, b.to)));
        }
    }

    #[test]
    fn people_may_cancel_what_is_pending_and_decide_what_is_under_review() {
        assert_eq!(Pending.next_for(Staff).collect::<Vec<_>>(), [Cancelled]);
        assert_eq!(UnderReview.next_for(Staff).collect::<Vec<_>>(), [Approved, Rejected]);
        assert_eq!(UnderReview.next_for(Owner).count(), 0);
        assert_eq!(Approved.next_for(Staff).count(), 0);
    }

    #[test]
    fn names_are_the_same_in_json_and_in_text() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }
}
