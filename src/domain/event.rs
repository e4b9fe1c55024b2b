//! The data of the events `application.*`.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::application::Country;
use super::ids::ApplicationId;
use super::published::EventData;
use super::status::Status;

/// A change of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationChanged {
    /// The application.
    pub id: ApplicationId,
    /// Its country.
    pub country: Country,
    /// Its status after the change.
    pub status: Status,
    /// Its status before; `null` at its creation.
    pub previous_status: Option<Status>,
    /// The risk score of the last decision, as text with two decimals.
    #[serde(with = "rust_decimal::serde::str_option", default)]
    pub risk_score: Option<Decimal>,
    /// The application's version after the change.
    pub version: i64,
    /// The account that created the application: only this account and staff may see the event.
    pub created_by: String,
    /// When the change was made.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

impl EventData for ApplicationChanged {
    const FAMILY: &'static str = "application.";
}
