//! An application under review in responses.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::applications::view::ListedView;
use crate::lending::reviews::{Assignment, Review};

/// An application under review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewView {
    /// The application.
    pub application: ListedView,
    /// When the application came under review.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub waiting_since: DateTime<Utc>,
    /// The reason codes of the latest decision, most significant first. Empty if processing failed before a decision.
    #[schema(value_type = Vec<crate::http::schemas::DecisionReason>, example = json!(["DTI_TOO_HIGH"]))]
    pub reasons: Vec<String>,
    /// The assignment; `null` if there is none or it has expired.
    pub assignment: Option<ReviewAssignmentView>,
}

/// The assignment of an application under review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewAssignmentView {
    /// The user account.
    pub assigned_to: Uuid,
    /// The name of the user account.
    #[schema(example = "ana.garcia")]
    pub assigned_to_name: String,
    /// When the application was assigned. Extending the assignment does not change this time.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub assigned_at: DateTime<Utc>,
    /// When the assignment expires.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub expires_at: DateTime<Utc>,
}

impl From<Assignment> for ReviewAssignmentView {
    fn from(assignment: Assignment) -> Self {
        Self {
            assigned_to: assignment.assigned_to,
            assigned_to_name: assignment.assigned_to_name,
            assigned_at: assignment.assigned_at,
            expires_at: assignment.expires_at,
        }
    }
}

impl From<Review> for ReviewView {
    fn from(review: Review) -> Self {
        Self {
            application: review.application.into(),
            waiting_since: review.waiting_since,
            reasons: review.reasons,
            assignment: review.assignment.map(ReviewAssignmentView::from),
        }
    }
}
