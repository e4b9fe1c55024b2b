//! `GET /api/v1/applications/{id}`

use actix_web::HttpResponse;
use actix_web::http::header;

use super::copy::ApplicationCopy;
use super::view::ApplicationView;
use crate::http::HttpState;
use crate::http::conditional::{Conditions, etag};
use crate::http::extract::ApplicationPath;
use crate::http::problem::Answer;
use crate::lending::Caller;
use crate::lending::audit_views::{ViewAction, Viewed};

/// One application, archived or not.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}",
    operation_id = "get_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has"),
    ),
    responses(
        (
            status = 200,
            description = "The application",
            body = ApplicationView,
            headers(("ETag" = String, description = "Its version")),
        ),
        (status = 304, description = "The client has this version"),
        (status = 404, description = "There is none, or not for this caller"),
    ),
)]
pub(in crate::http) async fn get(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> Answer {
    let application = ApplicationCopy::get(&state, &caller, id).await?;
    state.lending.note_view(&caller, Viewed::One(ViewAction::Application, id, &application.created_by));
    let tag = (header::ETAG, etag(application.version));
    if conditions.is_known(application.version) {
        return Ok(HttpResponse::NotModified().insert_header(tag).finish());
    }
    Ok(HttpResponse::Ok().insert_header(tag).json(application.view))
}
