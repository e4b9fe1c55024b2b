//! `POST /api/v1/auth/login`

use actix_web::{HttpMessage as _, HttpRequest};
use secrecy::SecretString;

use super::tokens::{self, SessionTokens};
use crate::accounts::{ChangeOrigin, TokenPair};
use crate::error::Error;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::client_address::ClientAddress;
use crate::http::limits::check_subject;
use crate::http::problem::{HandlerResult, Rejection};
use crate::http::request::request_body;
use crate::json::string;

request_body! {
    /// The credentials of a user.
    pub struct LoginRequest {
        /// The name of the account.
        #[schema(example = "ana.lopez")]
        username: String = required(string),
        /// The password of the account.
        #[schema(value_type = String, max_length = 512, example = "correct horse battery")]
        password: SecretString = required(tokens::secret),
    }
}

/// Starts a session with a username and a password.
///
/// Every wrong combination of username and password gets the same 401 after the same amount of work. After several
/// failures for a username, further attempts for it from the same address get a 429 for some time. Each further failure
/// makes this time longer.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    operation_id = "login",
    tag = "accounts",
    request_body(content = LoginRequest, example = json!({"username": "ana.lopez", "password": "correct horse battery"})),
    responses(
        (status = 200, description = "The tokens of the session", body = SessionTokens,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 401, description = "No enabled account has this username and password"),
    ),
)]
pub(in crate::http) async fn login(
    request: HttpRequest,
    state: HttpState,
    origin: ChangeOrigin,
    body: JsonObject,
) -> HandlerResult {
    let credentials = LoginRequest::read(body.members()?)?;
    Ok(tokens::respond(&authenticate(&request, &state, &origin, credentials).await?))
}

/// Starts a session. Counts the attempt towards the rate limit, and a failure in the metrics.
pub(super) async fn authenticate(
    request: &HttpRequest,
    state: &HttpState,
    origin: &ChangeOrigin,
    LoginRequest { username, password }: LoginRequest,
) -> Result<TokenPair, Rejection> {
    // With a limit per username alone, one client could use up the attempts of every other client for that username.
    check_subject(request, &subject(request, &username)).await?;
    let pair = state.accounts.login(&username, password, origin).await.inspect_err(|error| {
        let metrics = &state.resources.metrics;
        match error {
            Error::Unauthenticated(_) => metrics.login_failures_total.inc(),
            Error::RateLimited { .. } => metrics.login_pauses_total.inc(),
            _ => {}
        }
    })?;
    Ok(pair)
}

/// The key that attempts are counted under: the network of the client and the username.
fn subject(request: &HttpRequest, username: &str) -> String {
    let network = request.extensions().get::<ClientAddress>().map(|address| address.network().to_string());
    format!("{}\n{username}", network.unwrap_or_default())
}
