//! `POST /api/v1/auth/refresh`

use secrecy::{ExposeSecret as _, SecretString};

use super::tokens::{self, SessionTokens};
use crate::accounts::ChangeOrigin;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;

request_body! {
    /// A refresh of a session.
    pub struct RefreshRequest {
        /// The session's latest refresh token.
        #[schema(value_type = String, max_length = 128, example = "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA")]
        refresh_token: SecretString = required(tokens::secret),
    }
}

/// Refreshes a session.
///
/// Each refresh token can be used once. If a token is used again within ten seconds, for example by a second browser
/// tab, the response contains tokens of the same session; this is allowed a few times. Later reuse means that the token
/// has been copied, and ends the session. A session ends 30 days after its sign-in even if it is
/// refreshed (`accounts.session_days`).
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    operation_id = "refresh_session",
    tag = "accounts",
    request_body(content = RefreshRequest, example = json!({"refresh_token": "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA"})),
    responses(
        (status = 200, description = "New tokens of the session", body = SessionTokens,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 401, description = "The token is invalid, expired or revoked; sign in again"),
    ),
)]
pub(in crate::http) async fn refresh(
    state: HttpState,
    origin: ChangeOrigin,
    body: JsonObject,
) -> HandlerResult {
    let token = RefreshRequest::read(body.members()?)?.refresh_token;
    let pair = state.accounts.refresh(token.expose_secret(), &origin).await?;
    Ok(tokens::respond(&pair))
}
