//! Mapping of the domain's enumerations to PostgreSQL enums.
//!
//! The domain does not depend on Diesel, so each enumeration has a wrapper here that converts in both directions. Reading
//! a label that is unknown to this version fails with the wrapper. Lists use [`PgLabel`], which accepts unknown labels.

use std::io::Write as _;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::result::{DeserializeFieldError, Error as DieselError};
use diesel::serialize::{self, IsNull, Output, ToSql};

use super::schema::sql_types;
use crate::domain::account::Role;
use crate::domain::application::Country;
use crate::domain::label::Label;
use crate::domain::status::Status;

/// A label unknown to this version, in a row that is unusable without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an unknown {what}: {label}")]
pub struct UnknownLabel {
    /// The enumeration.
    pub what: &'static str,
    pub label: String,
}

impl UnknownLabel {
    /// The unknown label that made a row unreadable, if there is one.
    pub(super) fn cause_of(error: &DieselError) -> Option<&Self> {
        let DieselError::DeserializationError(error) = error else { return None };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
        while let Some(error) = cause {
            if let Some(unknown) = error.downcast_ref() {
                return Some(unknown);
            }
            cause = match error.downcast_ref::<DeserializeFieldError>() {
                Some(field) => Some(&*field.error),
                None => error.source(),
            };
        }
        None
    }
}

/// The value of an enumeration column. Its label may be unknown to this version.
#[derive(Debug, Clone, PartialEq, Eq, FromSqlRow)]
pub struct PgLabel<T>(pub Label<T>);

impl<T> From<PgLabel<T>> for Label<T> {
    fn from(stored: PgLabel<T>) -> Self {
        stored.0
    }
}

macro_rules! pg_enum {
    ($(#[$doc:meta])* $wrapper:ident($inner:ty), $what:literal, $sql:ty, $name:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
        #[diesel(sql_type = $sql)]
        pub struct $wrapper(pub $inner);

        impl ToSql<$sql, Pg> for $wrapper {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                let name: fn($inner) -> &'static str = $name;
                out.write_all(name(self.0).as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl FromSql<$sql, Pg> for $wrapper {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                let label = std::str::from_utf8(value.as_bytes())?;
                let unknown = |_unknown| UnknownLabel { what: $what, label: label.to_owned() };
                Ok(Self(label.parse().map_err(unknown)?))
            }
        }

        impl FromSql<$sql, Pg> for PgLabel<$inner> {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Self(Label::read(std::str::from_utf8(value.as_bytes())?)))
            }
        }

        impl From<$wrapper> for $inner {
            fn from(wrapper: $wrapper) -> Self {
                wrapper.0
            }
        }
    };
}

pg_enum! {
    /// `country`
    PgCountry(Country), "country", sql_types::Country, Country::code
}
pg_enum! {
    /// `account_role`
    PgRole(Role), "role", sql_types::AccountRole, Role::as_str
}
pg_enum! {
    /// `application_status`
    PgStatus(Status), "status", sql_types::ApplicationStatus, Status::as_str
}

/// The kind of change in an audit row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    Created,
    StatusChanged,
    /// Decided again, with the same status.
    Evaluated,
    /// The country data changed.
    DataChanged,
    Deleted,
    Restored,
}

impl AuditAction {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Created, "created"),
        (Self::StatusChanged, "status_changed"),
        (Self::Evaluated, "evaluated"),
        (Self::DataChanged, "data_changed"),
        (Self::Deleted, "deleted"),
        (Self::Restored, "restored"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }
}

impl std::str::FromStr for AuditAction {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(action, _)| *action)
            .ok_or("unknown audit action")
    }
}

pg_enum! {
    /// `audit_action`
    PgAuditAction(AuditAction), "kind of change", sql_types::AuditAction, AuditAction::as_str
}

/// The processing status of a webhook event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookStatus {
    /// Being stored. Not visible outside the transaction that stores it.
    Received,
    /// It changed its application.
    Applied,
    /// There was nothing to change.
    Ignored,
    /// It could not be applied and will be retried.
    Failed,
}

impl WebhookStatus {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Received, "received"),
        (Self::Applied, "applied"),
        (Self::Ignored, "ignored"),
        (Self::Failed, "failed"),
    ];

    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(status, _)| *status == self).map_or("", |(_, name)| name)
    }
}

impl std::str::FromStr for WebhookStatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(status, _)| *status).ok_or("unknown webhook status")
    }
}

pg_enum! {
    /// `webhook_status`
    PgWebhookStatus(WebhookStatus), "webhook status", sql_types::WebhookStatus, WebhookStatus::as_str
}

/// The status of an unfinished job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waiting to be claimed.
    Pending,
    /// Claimed by a worker.
    Processing,
    /// Waiting for the bureau's webhook.
    WaitingExternal,
}

impl JobStatus {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Pending, "pending"),
        (Self::Processing, "processing"),
        (Self::WaitingExternal, "waiting_external"),
    ];

    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(status, _)| *status == self).map_or("", |(_, name)| name)
    }
}

impl std::str::FromStr for JobStatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(status, _)| *status).ok_or("unknown job status")
    }
}

pg_enum! {
    /// `job_status`
    PgJobStatus(JobStatus), "job status", sql_types::JobStatus, JobStatus::as_str
}

/// The status of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedJobStatus {
    Pending,
    /// An operator has looked at it.
    Reviewed,
    /// Its job was queued again.
    Reprocessed,
    /// No action is needed.
    Ignored,
}

impl FailedJobStatus {
    /// All statuses with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Pending, "pending"),
        (Self::Reviewed, "reviewed"),
        (Self::Reprocessed, "reprocessed"),
        (Self::Ignored, "ignored"),
    ];

    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(status, _)| *status == self).map_or("", |(_, name)| name)
    }

    /// The permitted transitions. An ignored dead letter can be reopened by reviewing it. A requeued job that fails
    /// again creates a new dead letter.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Reviewed, Self::Reprocessed, Self::Ignored],
            Self::Reviewed => &[Self::Reprocessed, Self::Ignored],
            Self::Ignored => &[Self::Reviewed],
            Self::Reprocessed => &[],
        }
    }
}

impl std::str::FromStr for FailedJobStatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(status, _)| *status).ok_or("unknown status of a dead letter")
    }
}

pg_enum! {
    /// `failed_job_status`
    PgFailedJobStatus(FailedJobStatus), "status of a dead letter", sql_types::FailedJobStatus, FailedJobStatus::as_str
}
