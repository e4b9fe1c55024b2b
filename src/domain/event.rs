//! The data of `application.*` events. It contains no personal data.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::application::Country;
use super::ids::ApplicationId;
use super::published::EventData;
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
    /// The risk score of the latest decision, as text with two decimal places.
    #[serde(with = "rust_decimal::serde::str_option", default)]
    pub risk_score: Option<Decimal>,
    /// The application's version after the change.
    pub version: i64,
    /// The account that created the application. Only this account and staff may see the event.
    pub created_by: String,
    /// The time of the change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

impl EventData for ApplicationChanged {
    const FAMILY: &'static str = "application.";
}
