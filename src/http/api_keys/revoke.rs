//! `DELETE /api/v1/api-keys/{id}`

use actix_web::HttpResponse;

use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::extract::IdPath;
use crate::http::problem::Answer;

/// Takes an API key back, at once and for ever; its name is never given again.
#[utoipa::path(
    delete,
    path = "/api/v1/api-keys/{id}",
    operation_id = "revoke_api_key",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "The key")),
    responses(
        (status = 204, description = "It is worth nothing any more"),
        (status = 404, description = "There is none"),
    ),
)]
pub(in crate::http) async fn revoke(state: HttpState, principal: Principal, IdPath(id): IdPath) -> Answer {
    state.accounts.revoke_key(id, &principal.account).await?;
    Ok(HttpResponse::NoContent().finish())
}
