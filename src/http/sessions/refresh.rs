//! `POST /api/v1/auth/refresh`

use secrecy::{ExposeSecret as _, SecretString};
use utoipa::ToSchema;

use super::tokens::{self, SessionTokens};
use crate::accounts::Origin;
use crate::domain::members::{Fields, Problems};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::Answer;

/// What renews a session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct RefreshRequest {
    /// The newest refresh token of the session.
    #[schema(max_length = 128, example = "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA")]
    refresh_token: String,
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
    let token = read(&body)?;
    let pair = state.accounts.refresh(token.expose_secret(), &origin).await?;
    Ok(tokens::answer(&pair))
}

fn read(body: &JsonObject) -> Result<SecretString> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let token = fields.required("refresh_token", tokens::secret);
    fields.refuse_the_rest();
    match (token, problems.0.is_empty()) {
        (Some(token), true) => Ok(token),
        _ => Err(Error::Validation(problems.0)),
    }
}
