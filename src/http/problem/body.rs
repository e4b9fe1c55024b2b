//! The JSON body of a problem (RFC 9457).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::catalogue::{CATALOGUE, INTERNAL_ERROR, Kind, REQUEST_REFUSED};
use super::{CONTENT_TYPE, PAGES, status};
use crate::domain::ids::ApplicationId;
use crate::error::FieldError;

/// Maximum length of a field error's pointer, in characters: it may contain a name chosen by the client.
pub(super) const MAX_POINTER_CHARS: usize = 200;

/// An RFC 9457 problem with the extension members `code`, `request_id` and `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The path of a page that explains this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/problems/validation_failed")]
    pub kind: String,
    /// A summary of the kind of problem, the same for every occurrence.
    #[schema(example = "Validation failed")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// A description of this occurrence.
    #[schema(example = "The errors member lists every invalid value.")]
    pub detail: String,
    /// The stable code to match on.
    #[schema(value_type = crate::http::schemas::ProblemCode, example = "validation_failed")]
    pub code: &'static str,
    /// The identifier of the request, also in `X-Request-ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub request_id: Option<String>,
    /// The invalid values; only with `validation_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemField>,
    /// The current status of the application; only with `illegal_transition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>, example = "APPROVED")]
    pub from: Option<&'static str>,
    /// The requested status; only with `illegal_transition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>, example = "CANCELLED")]
    pub to: Option<&'static str>,
    /// The statuses that the caller can set instead; only with `illegal_transition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::http::schemas::ApplicationStatus>>)]
    pub allowed: Option<Vec<&'static str>>,
    /// The caller's open application; only with `duplicate_application`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub application_id: Option<ApplicationId>,
    /// When that application stops preventing others for the same document, unless it is rejected, cancelled, completed
    /// or deleted earlier; only with `duplicate_application`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::domain::timestamp::serialize_option"
    )]
    pub open_until: Option<DateTime<Utc>>,
    /// The account that reviews the application; only with `assigned_to_another`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ana.garcia")]
    pub assigned_to_name: Option<String>,
    /// When the assignment expires; only with `assigned_to_another`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::domain::timestamp::serialize_option"
    )]
    pub expires_at: Option<DateTime<Utc>>,
    /// The current number of matching applications; only with `count_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12)]
    pub matched: Option<usize>,
}

/// An invalid value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemField {
    /// An RFC 6901 JSON pointer into the body, or `?name` for a query parameter.
    #[schema(example = "/identity_document")]
    pub pointer: String,
    /// The stable reason code.
    #[schema(value_type = crate::http::schemas::FieldCode, example = "bad_check_digit")]
    pub code: &'static str,
    /// A description for people.
    #[schema(example = "The check character does not match the rest of the document.")]
    pub detail: String,
}

impl From<&FieldError> for ProblemField {
    fn from(field: &FieldError) -> Self {
        let pointer = field.pointer.chars().take(MAX_POINTER_CHARS).collect();
        Self { pointer, code: field.code, detail: field.detail.clone() }
    }
}

impl Problem {
    pub(super) fn of(kind: Kind, detail: String, request_id: Option<&str>) -> Self {
        Self {
            kind: format!("{PAGES}{}", kind.code),
            title: kind.title,
            status: kind.status,
            detail,
            code: kind.code,
            request_id: request_id.map(str::to_owned),
            errors: Vec::new(),
            from: None,
            to: None,
            allowed: None,
            application_id: None,
            open_until: None,
            assigned_to_name: None,
            expires_at: None,
            matched: None,
        }
    }

    /// The problem for a response that a library generated, of which only the status is known.
    pub fn of_status(status: StatusCode, request_id: Option<&str>) -> Self {
        let same_status = CATALOGUE.iter().find(|kind| kind.status == status.as_u16());
        let class = if status.is_server_error() { INTERNAL_ERROR } else { REQUEST_REFUSED };
        let kind = Kind { status: status.as_u16(), ..same_status.copied().unwrap_or(class) };
        let reason = status.canonical_reason().unwrap_or("Refused");
        Self::of(kind, format!("{reason}."), request_id)
    }

    /// The HTTP response.
    pub fn response(&self) -> HttpResponse {
        let body = serde_json::to_string(self).unwrap_or_default();
        HttpResponse::build(status(self.status)).content_type(CONTENT_TYPE).body(body)
    }
}
