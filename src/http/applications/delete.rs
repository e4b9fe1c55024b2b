//! `DELETE /api/v1/applications/{id}` and `POST /api/v1/applications/{id}/restore`

use actix_web::HttpResponse;

use super::change;
use super::view::ApplicationView;
use crate::http::HttpState;
use crate::http::conditional::Conditions;
use crate::http::extract::ApplicationPath;
use crate::http::idempotency::{self, Idempotency};
use crate::http::problem::HandlerResult;
use crate::lending::Caller;
use crate::lending::change::{Change, ChangeRequest};

/// Soft-deletes an application and stops its processing. A deleted application can be restored.
///
/// Owners may delete applications that are `PENDING` or in a terminal status; staff may delete any application that
/// they can see.
#[utoipa::path(
    delete,
    path = "/api/v1/applications/{id}",
    operation_id = "delete_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
        ("If-Match" = Option<String>, Header, description = "Apply the change only if the application still has this ETag"),
    ),
    responses(
        (status = 204, description = "Application deleted"),
        (status = 404, description = "Application not found, or not visible to the caller"),
        (status = 409, description = "The owner cannot delete an application that is being decided or has been approved, or the application is archived (`archived`)"),
        (status = 412, description = "The application no longer has the given ETag"),
    ),
)]
pub(in crate::http) async fn delete(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> HandlerResult {
    let request =
        ChangeRequest { expected: conditions.expected_version(), ..ChangeRequest::from(Change::Delete) };
    state.lending.change(&caller, id, &request, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Restores a deleted application. If it had not been decided, it is queued again.
#[utoipa::path(
    post,
    path = "/api/v1/applications/{id}/restore",
    operation_id = "restore_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
        ("If-Match" = Option<String>, Header, description = "Apply the change only if the application still has this ETag"),
        Idempotency,
    ),
    responses(
        (
            status = 200,
            description = "The restored application",
            body = ApplicationView,
            headers(("ETag" = String, description = "Version of the application")),
        ),
        (status = 404, description = "Application not found, or not visible to the caller"),
        (status = 409, description = "The application is not deleted or is archived (`archived`), or a request with the same Idempotency-Key is in progress"),
        (status = 412, description = "The application no longer has the given ETag"),
        (status = 422, description = "The Idempotency-Key has been used for a different request"),
    ),
)]
pub(in crate::http) async fn restore(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> HandlerResult {
    let keyed = idempotency.keyed(&state, &caller.account, b"", &change::reply);
    let request =
        ChangeRequest { expected: conditions.expected_version(), ..ChangeRequest::from(Change::Restore) };
    let made = state.lending.change(&caller, id, &request, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, change::reply)
}
