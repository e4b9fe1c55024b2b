//! `POST /api/v1/auth/login`

use actix_web::HttpRequest;
use secrecy::SecretString;
use utoipa::ToSchema;

use super::tokens::{self, SessionTokens};
use crate::domain::members::{Fields, Problems, string};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
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
    #[schema(max_length = 128, example = "correct horse battery")]
    password: String,
}

/// Begins a session with a username and a password.
///
/// Whatever is wrong with them, the answer is the same 401 after the same work.
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
pub(in crate::http) async fn login(request: HttpRequest, state: HttpState, body: JsonObject) -> Answer {
    let (username, password) = read(&body)?;
    check_subject(&request, &username).await?;
    let pair = state.accounts.login(&username, password).await?;
    Ok(tokens::answer(&pair))
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
