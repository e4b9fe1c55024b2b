//! `POST /api/v1/auth/logout`

use actix_web::HttpResponse;

use crate::accounts::ChangeOrigin;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;

/// Ends the session.
///
/// Revokes the session's refresh token and immediately invalidates all access tokens of the account, including those of
/// other sessions. Other sessions can get new access tokens with their refresh tokens. WebSockets opened with an
/// invalidated token are closed (4401).
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    operation_id = "logout",
    tag = "accounts",
    responses((status = 204, description = "Session ended")),
)]
pub(in crate::http) async fn logout(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
) -> HandlerResult {
    state.accounts.logout(&principal, &origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
