//! `GET` and `DELETE /api/v1/users/{id}/sessions`

use actix_web::HttpResponse;

use crate::accounts::ChangeOrigin;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;
use crate::http::sessions::open::SessionList;

/// Lists the open sessions of a user account.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}/sessions",
    operation_id = "list_user_sessions",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the user account")),
    responses(
        (status = 200, description = "The open sessions", body = SessionList),
        (status = 404, description = "User account not found"),
    ),
)]
pub(in crate::http) async fn list(
    state: HttpState,
    principal: Principal,
    IdPath(id): IdPath,
) -> HandlerResult {
    let sessions = state.accounts.sessions_of(id, &principal).await?;
    Ok(HttpResponse::Ok().json(SessionList::from(sessions)))
}

/// Ends all sessions of a user account.
///
/// Immediately invalidates all refresh tokens and access tokens of the account. WebSockets opened with one of them are
/// closed (4401). API keys stay valid. The user can sign in again; disable the account to prevent that.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/sessions",
    operation_id = "end_user_sessions",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the user account")),
    responses(
        (status = 204, description = "All sessions ended"),
        (status = 404, description = "User account not found"),
    ),
)]
pub(in crate::http) async fn end(
    state: HttpState,
    origin: ChangeOrigin,
    IdPath(id): IdPath,
) -> HandlerResult {
    state.accounts.end_sessions_of(id, &origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
