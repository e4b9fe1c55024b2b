//! Events in the outbox: an envelope modelled on CloudEvents 1.0, without personal data.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::application::Country;
use super::ids::{ApplicationId, EventId, RequestId};
use super::status::Status;

/// The payload of an application event, for subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationChanged {
    /// The changed application.
    pub id: ApplicationId,
    /// Its country.
    pub country: Country,
    /// The status after the change.
    pub status: Status,
    /// The status before the change; `null` for the creation.
    pub previous_status: Option<Status>,
    /// The risk score of the latest decision, as text with two decimals.
    #[serde(with = "rust_decimal::serde::str_option", default)]
    pub risk_score: Option<Decimal>,
    /// The application's version after the change.
    pub version: i64,
    /// The account that created the application. Only it and staff may see the event.
    pub created_by: String,
    /// The time of the change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

/// A position in the global sequence of events. Offsets of different epochs are not comparable: a new epoch starts when
/// the sequence restarts (restored backup, new database).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Identifies the sequence.
    pub epoch: Uuid,
    /// The offset in the sequence; 0 is before the first event.
    pub offset: i64,
}

/// An event to which the relay has assigned an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEvent {
    /// The identifier, the same in every delivery.
    pub id: EventId,
    /// The type, such as `application.status_changed.v1`.
    pub kind: String,
    /// The offset in the sequence.
    pub offset: i64,
    /// The request that caused the change.
    pub request_id: Option<RequestId>,
    /// The W3C trace context of the change.
    pub traceparent: Option<String>,
    /// The payload; `None` if this version does not know the event's type or format.
    pub data: Option<ApplicationChanged>,
}
