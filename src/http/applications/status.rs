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
use crate::http::problem::Answer;
use crate::lending::Caller;
use crate::lending::audit_views::{ViewAction, Viewed};

/// Where an application stands, and where the caller may take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusView {
    /// The application.
    #[schema(value_type = uuid::Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub id: ApplicationId,
    /// Where it stands.
    #[schema(value_type = crate::http::schemas::ApplicationStatus)]
    pub status: Status,
    /// The statuses that the caller may ask for now.
    #[schema(value_type = Vec<crate::http::schemas::ApplicationStatus>)]
    pub allowed: Vec<Status>,
    /// The last decision's risk.
    #[schema(example = "25.96")]
    pub risk_score: Option<String>,
    /// Counts the changes.
    #[schema(example = 3)]
    pub version: i64,
    /// When it was last changed.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

/// Where an application stands.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}/status",
    operation_id = "get_application_status",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has"),
    ),
    responses(
        (
            status = 200,
            description = "Its status",
            body = StatusView,
            headers(("ETag" = String, description = "Its version")),
        ),
        (status = 304, description = "The client has this version"),
        (status = 404, description = "There is none, or not for this caller"),
    ),
)]
pub(in crate::http) async fn status(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> Answer {
    let application = ApplicationCopy::get(&state, &caller, id).await?;
    state.lending.note_view(&caller, Viewed::One(ViewAction::Status, id, &application.created_by));
    let tag = (header::ETAG, etag(application.version));
    if conditions.is_known(application.version) {
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

/// Takes an application to another status.
#[utoipa::path(
    put,
    path = "/api/v1/applications/{id}/status",
    operation_id = "set_application_status",
    tag = "applications",
    request_body = StatusRequest,
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant for"),
    ),
    responses(
        (
            status = 200,
            description = "The application after the change",
            body = ApplicationView,
            headers(("ETag" = String, description = "Its version")),
        ),
        (status = 404, description = "There is none, or not for this caller"),
        (status = 409, description = "The status machine does not know this change, or the application is archived (`archived`)"),
        (status = 412, description = "It has changed meanwhile"),
    ),
)]
pub(in crate::http) async fn set_status(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
    body: JsonObject,
) -> Answer {
    let request = StatusRequest::read(body.members()?, caller.initiator)?;
    change::apply(&state, &caller, id, &conditions, request.into()).await
}
