//! `GET /api/v1/applications/{id}`

use actix_web::HttpResponse;
use actix_web::http::header;

use super::copy::ApplicationCopy;
use super::view::ApplicationView;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::conditional::{Conditions, etag};
use crate::http::extract::{ApplicationPath, RequestContext};
use crate::http::problem::Answer;
use crate::http::staff_views::Viewed;
use crate::storage::staff_views::ViewAction;

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
    principal: Principal,
    context: RequestContext,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> Answer {
    let application = ApplicationCopy::get(&state, &principal, id).await?;
    state.note_view(&principal, &context, Viewed::One(ViewAction::Application, id, &application.created_by));
    let tag = (header::ETAG, etag(application.version));
    if conditions.is_known(application.version) {
        return Ok(HttpResponse::NotModified().insert_header(tag).finish());
    }
    Ok(HttpResponse::Ok().insert_header(tag).json(application.view))
}
