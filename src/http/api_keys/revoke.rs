//! `DELETE /api/v1/api-keys/{id}`

use actix_web::HttpResponse;

use crate::accounts::Origin;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::Answer;

/// Revokes an API key, and the keys that it has made, at once and for ever; its name is never given again.
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
pub(in crate::http) async fn revoke(state: HttpState, origin: Origin, IdPath(id): IdPath) -> Answer {
    state.accounts.revoke_key(id, &origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
