//! `GET /api/v1/applications/{id}`

use actix_web::HttpResponse;
use actix_web::http::header;

use super::copy::ApplicationCopy;
use super::view::ApplicationView;
use crate::http::HttpState;
use crate::http::conditional::{Conditions, etag};
use crate::http::extract::ApplicationPath;
use crate::http::problem::HandlerResult;
use crate::lending::Caller;
use crate::lending::audit_views::{ViewAction, Viewed};

/// Returns an application, archived or not.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}",
    operation_id = "get_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the client's copy"),
    ),
    responses(
        (
            status = 200,
            description = "The application",
            body = ApplicationView,
            headers(("ETag" = String, description = "Version of the application")),
        ),
        (status = 304, description = "Not modified"),
        (status = 404, description = "Application not found, or not visible to the caller"),
    ),
)]
pub(in crate::http) async fn get(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> HandlerResult {
    let application = ApplicationCopy::get(&state, &caller, id).await?;
    state.lending.record_view(&caller, Viewed::One(ViewAction::Application, id, &application.created_by));
    let tag = (header::ETAG, etag(application.version));
    if conditions.client_has_version(application.version) {
        return Ok(HttpResponse::NotModified().insert_header(tag).finish());
    }
    Ok(HttpResponse::Ok().insert_header(tag).json(application.view))
}
