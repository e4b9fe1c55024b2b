//! `GET /api/v1/users/{id}`

use actix_web::HttpResponse;

use super::view::UserView;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// Returns a user account.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    operation_id = "get_user",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the user account")),
    responses(
        (status = 200, description = "The user account", body = UserView),
        (status = 404, description = "User account not found"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    Ok(HttpResponse::Ok().json(UserView::from(state.accounts.user(id).await?)))
}
