//! What the outbox carries: an event envelope after CloudEvents 1.0, without personal data.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::application::Country;
use super::ids::{ApplicationId, EventId, RequestId};
use super::status::Status;

/// What happened to an application, as every subscriber may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationChanged {
    /// The application.
    pub id: ApplicationId,
    /// Its country.
    pub country: Country,
    /// Its status now.
    pub status: Status,
    /// Its status before; `null` at its creation.
    pub previous_status: Option<Status>,
    /// The last decision's risk, as text with two decimals.
    #[serde(with = "rust_decimal::serde::str_option", default)]
    pub risk_score: Option<Decimal>,
    /// The application's version after the change.
    pub version: i64,
    /// The account that made the application: only it and staff may see the event.
    pub created_by: String,
    /// When the change was made.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

/// Where in the one global sequence of events something stands. Offsets of different epochs cannot be compared:
/// an epoch ends when the sequence had to start anew (a restored backup, a new database).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The sequence.
    pub epoch: Uuid,
    /// The place in it; 0 is before the first event.
    pub offset: i64,
}

/// An event that the relay has given its place in the sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEvent {
    /// The identifier, the same at every delivery.
    pub id: EventId,
    /// The type, such as `application.status_changed.v1`.
    pub kind: String,
    /// The place in the sequence.
    pub offset: i64,
    /// The request that led to the change.
    pub request_id: Option<RequestId>,
    /// The W3C trace context of the change.
    pub traceparent: Option<String>,
    /// What happened; `None` for an event of a type or shape that this version does not know.
    pub data: Option<ApplicationChanged>,
}
