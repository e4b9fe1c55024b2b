//! `DELETE /api/v1/auth/me/views/{id}`

use actix_web::HttpResponse;

use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// Deletes one of the caller's saved views.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/me/views/{id}",
    operation_id = "delete_saved_view",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the saved view")),
    responses(
        (status = 204, description = "The saved view was deleted"),
        (status = 404, description = "The caller has no saved view with this identifier"),
    ),
)]
pub(in crate::http) async fn delete(
    state: HttpState,
    principal: Principal,
    IdPath(id): IdPath,
) -> HandlerResult {
    state.accounts.delete_view(&principal, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
