//! `POST /api/v1/auth/logout`

use actix_web::HttpResponse;

use crate::accounts::Origin;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::Answer;

/// Ends a session.
///
/// Its refresh token is worthless, and so is, at once, every access token of the account, those of other devices included.
/// These get new ones with their own refresh tokens. WebSockets that were opened with any of them are closed (4401).
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    operation_id = "logout",
    tag = "accounts",
    responses((status = 204, description = "The session is over")),
)]
pub(in crate::http) async fn logout(state: HttpState, principal: Principal, origin: Origin) -> Answer {
    state.accounts.logout(&principal, &origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
