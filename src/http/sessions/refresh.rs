//! `POST /api/v1/auth/refresh`

use secrecy::{ExposeSecret as _, SecretString};

use super::tokens::{self, SessionTokens};
use crate::accounts::Origin;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::Answer;
use crate::http::request::request_body;

request_body! {
    /// What renews a session.
    pub struct RefreshRequest {
        /// The newest refresh token of the session.
        #[schema(value_type = String, max_length = 128, example = "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA")]
        refresh_token: SecretString = required(tokens::secret),
    }
}

/// Renews a session.
///
/// Each refresh token is good once. One that comes again within ten seconds, from a second tab for instance, gets tokens
/// of the same session, a few times; later it tells that somebody has a copy, and the session is over for everybody. A
/// session ends 30 days after its log-in, however often it is renewed (`accounts.session_days`).
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    operation_id = "refresh_session",
    tag = "accounts",
    request_body(content = RefreshRequest, example = json!({"refresh_token": "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA"})),
    responses(
        (status = 200, description = "The next tokens of the session", body = SessionTokens,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 401, description = "The token is not good, or not any more: log in again"),
    ),
)]
pub(in crate::http) async fn refresh(state: HttpState, origin: Origin, body: JsonObject) -> Answer {
    let token = RefreshRequest::read(body.members()?)?.refresh_token;
    let pair = state.accounts.refresh(token.expose_secret(), &origin).await?;
    Ok(tokens::answer(&pair))
}
