//! `GET /api/v1/api-keys/{id}`

use actix_web::HttpResponse;

use super::view::ApiKeyView;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// An API key, without its secret.
#[utoipa::path(
    get,
    path = "/api/v1/api-keys/{id}",
    operation_id = "get_api_key",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the API key")),
    responses(
        (status = 200, description = "The API key", body = ApiKeyView),
        (status = 404, description = "API key not found"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    Ok(HttpResponse::Ok().json(ApiKeyView::from(state.accounts.key(id).await?)))
}
