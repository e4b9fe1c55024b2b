//! `DELETE /api/v1/api-keys/{id}`

use actix_web::HttpResponse;

use crate::accounts::ChangeOrigin;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// Permanently revokes an API key and all keys created with it. The name cannot be reused.
#[utoipa::path(
    delete,
    path = "/api/v1/api-keys/{id}",
    operation_id = "revoke_api_key",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the API key")),
    responses(
        (status = 204, description = "API key revoked"),
        (status = 404, description = "API key not found"),
    ),
)]
pub(in crate::http) async fn revoke(
    state: HttpState,
    origin: ChangeOrigin,
    IdPath(id): IdPath,
) -> HandlerResult {
    state.accounts.revoke_key(id, &origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
