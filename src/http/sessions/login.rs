//! `POST /api/v1/auth/login`

use actix_web::{HttpMessage as _, HttpRequest};
use secrecy::SecretString;
use utoipa::ToSchema;

use super::tokens::{self, SessionTokens};
use crate::accounts::Origin;
use crate::domain::members::{Fields, Problems, string};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::client_address::ClientAddress;
use crate::http::limits::check_subject;
use crate::http::problem::Answer;

/// Who logs in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct LoginRequest {
    /// The account.
    #[schema(example = "ana.lopez")]
    username: String,
    /// Its password.
    #[schema(max_length = 512, example = "correct horse battery")]
    password: String,
}

/// Begins a session with a username and a password.
///
/// Whatever is wrong with them, the answer is the same 401 after the same work. After several failures an address has to
/// wait before it tries the same name again, longer each time; the answer is a 429 then.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    operation_id = "login",
    tag = "accounts",
    request_body(content = LoginRequest, example = json!({"username": "ana.lopez", "password": "correct horse battery"})),
    responses(
        (status = 200, description = "The tokens of the session", body = SessionTokens,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 401, description = "There is no enabled account with this username and password"),
    ),
)]
pub(in crate::http) async fn login(
    request: HttpRequest,
    state: HttpState,
    origin: Origin,
    body: JsonObject,
) -> Answer {
    let (username, password) = read(&body)?;
    // A name alone would let one address use up the attempts of all others.
    check_subject(&request, &subject(&request, &username)).await?;
    let pair = state.accounts.login(&username, password, &origin).await.inspect_err(|error| {
        let metrics = &state.resources.metrics;
        match error {
            Error::Unauthenticated(_) => metrics.login_failures_total.inc(),
            Error::RateLimited { .. } => metrics.login_pauses_total.inc(),
            _ => {}
        }
    })?;
    Ok(tokens::answer(&pair))
}

/// The name that is tried, and from where.
fn subject(request: &HttpRequest, username: &str) -> String {
    let network = request.extensions().get::<ClientAddress>().map(|address| address.network().to_string());
    format!("{}\n{username}", network.unwrap_or_default())
}

fn read(body: &JsonObject) -> Result<(String, SecretString)> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let username = fields.required("username", string);
    let password = fields.required("password", tokens::secret);
    fields.refuse_the_rest();
    match (username, password, problems.0.is_empty()) {
        (Some(username), Some(password), true) => Ok((username, password)),
        _ => Err(Error::Validation(problems.0)),
    }
}
