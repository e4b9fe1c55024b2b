//! `DELETE /api/v1/applications/{id}` and its way back.

use actix_web::HttpResponse;

use super::change;
use super::view::ApplicationView;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::conditional::Conditions;
use crate::http::extract::{ApplicationPath, RequestContext};
use crate::http::problem::Answer;
use crate::storage::applications::Change;

/// Puts an application into the bin; work on it ends. Nothing is lost.
#[utoipa::path(
    delete,
    path = "/api/v1/applications/{id}",
    operation_id = "delete_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant for"),
    ),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "There is none, or not for this caller"),
        (status = 412, description = "It has changed meanwhile"),
    ),
)]
pub(in crate::http) async fn delete(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> Answer {
    change::apply(&state, &principal, context, id, &conditions, &Change::Delete, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes an application out of the bin; one that was not decided is queued again.
#[utoipa::path(
    post,
    path = "/api/v1/applications/{id}/restore",
    operation_id = "restore_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant for"),
    ),
    responses(
        (
            status = 200,
            description = "The application",
            body = ApplicationView,
            headers(("ETag" = String, description = "Its version")),
        ),
        (status = 404, description = "There is none, or not for this caller"),
        (status = 409, description = "It is not deleted"),
        (status = 412, description = "It has changed meanwhile"),
    ),
)]
pub(in crate::http) async fn restore(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> Answer {
    let restored =
        change::apply(&state, &principal, context, id, &conditions, &Change::Restore, None).await?;
    Ok(change::answer(restored))
}
