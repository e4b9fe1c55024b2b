//! `GET` and `PUT /api/v1/applications/{id}/status`

use actix_web::HttpResponse;
use actix_web::http::header;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::change::{self, StatusRequest};
use super::copy::ApplicationCopy;
use super::view::ApplicationView;
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::conditional::{Conditions, etag};
use crate::http::extract::ApplicationPath;
use crate::http::problem::HandlerResult;
use crate::lending::Caller;
use crate::lending::audit_views::{ViewAction, Viewed};

/// The status of an application and the statuses that the caller can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusView {
    /// The identifier of the application.
    #[schema(value_type = uuid::Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub id: ApplicationId,
    /// The current status.
    #[schema(value_type = crate::http::schemas::ApplicationStatus)]
    pub status: Status,
    /// The statuses that the caller can set now.
    #[schema(value_type = Vec<crate::http::schemas::ApplicationStatus>)]
    pub allowed: Vec<Status>,
    /// The risk score of the latest decision.
    #[schema(example = "25.96")]
    pub risk_score: Option<String>,
    /// The version, which increases with every change.
    #[schema(example = 3)]
    pub version: i64,
    /// Time of the last change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

/// Returns the status of an application.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}/status",
    operation_id = "get_application_status",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the client's copy"),
    ),
    responses(
        (
            status = 200,
            description = "Status of the application",
            body = StatusView,
            headers(("ETag" = String, description = "Version of the application")),
        ),
        (status = 304, description = "Not modified"),
        (status = 404, description = "Application not found, or not visible to the caller"),
    ),
)]
pub(in crate::http) async fn status(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> HandlerResult {
    let application = ApplicationCopy::get(&state, &caller, id).await?;
    state.lending.record_view(&caller, Viewed::One(ViewAction::Status, id, &application.created_by));
    let tag = (header::ETAG, etag(application.version));
    if conditions.client_has_version(application.version) {
        return Ok(HttpResponse::NotModified().insert_header(tag).finish());
    }
    Ok(HttpResponse::Ok().insert_header(tag).json(StatusView {
        id,
        status: application.status,
        allowed: application.status.next_for(caller.initiator).collect(),
        risk_score: application.risk_score,
        version: application.version,
        updated_at: application.updated_at,
    }))
}

/// Changes the status of an application.
#[utoipa::path(
    put,
    path = "/api/v1/applications/{id}/status",
    operation_id = "set_application_status",
    tag = "applications",
    request_body = StatusRequest,
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
        ("If-Match" = Option<String>, Header, description = "Apply the change only if the application still has this ETag"),
    ),
    responses(
        (
            status = 200,
            description = "The application after the change",
            body = ApplicationView,
            headers(("ETag" = String, description = "Version of the application")),
        ),
        (status = 404, description = "Application not found, or not visible to the caller"),
        (
            status = 409,
            description = "The transition is not allowed, another account reviews the application \
                (`assigned_to_another`), or the application is archived (`archived`)",
        ),
        (status = 412, description = "The application no longer has the given ETag"),
    ),
)]
pub(in crate::http) async fn set_status(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
    body: JsonObject,
) -> HandlerResult {
    let request = StatusRequest::read(body.members()?, caller.initiator)?;
    change::apply(&state, &caller, id, &conditions, request.into()).await
}
