//! `DELETE /api/v1/applications/{id}` and its way back.

use actix_web::HttpResponse;

use super::change;
use super::view::ApplicationView;
use crate::http::HttpState;
use crate::http::conditional::Conditions;
use crate::http::extract::ApplicationPath;
use crate::http::idempotency::{self, Idempotency};
use crate::http::problem::Answer;
use crate::lending::Caller;
use crate::lending::change::{Change, ChangeRequest};

/// Puts an application into the bin; work on it ends. Nothing is lost.
///
/// The owner may delete what is `PENDING` or final; staff may delete whatever it sees.
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
        (status = 409, description = "It is being decided or was approved, which its owner cannot delete, or it is archived (`archived`)"),
        (status = 412, description = "It has changed meanwhile"),
    ),
)]
pub(in crate::http) async fn delete(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> Answer {
    let request =
        ChangeRequest { expected: conditions.expected_version(), ..ChangeRequest::from(Change::Delete) };
    state.lending.change(&caller, id, &request, None).await?;
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
        Idempotency,
    ),
    responses(
        (
            status = 200,
            description = "The application",
            body = ApplicationView,
            headers(("ETag" = String, description = "Its version")),
        ),
        (status = 404, description = "There is none, or not for this caller"),
        (status = 409, description = "It is not deleted, it is archived (`archived`), or the same request is being answered at this moment"),
        (status = 412, description = "It has changed meanwhile"),
        (status = 422, description = "The Idempotency-Key was used for another request"),
    ),
)]
pub(in crate::http) async fn restore(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
) -> Answer {
    let keyed = idempotency.keyed(&state, &caller.account, b"", &change::reply);
    let request =
        ChangeRequest { expected: conditions.expected_version(), ..ChangeRequest::from(Change::Restore) };
    let made = state.lending.change(&caller, id, &request, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, change::reply)
}
