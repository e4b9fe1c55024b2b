//! `POST /api/v1/auth/password`

use actix_web::HttpRequest;
use secrecy::SecretString;
use utoipa::ToSchema;

use super::tokens::{self, SessionTokens};
use crate::accounts::Origin;
use crate::domain::members::{Fields, Problems};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::limits::check_subject;
use crate::http::problem::Answer;

/// A change of one's own password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct PasswordRequest {
    /// The password until now.
    #[schema(max_length = 512, example = "correct horse battery")]
    current_password: String,
    /// The password from now on.
    #[schema(min_length = 12, max_length = 128, example = "a longer horse battery")]
    new_password: String,
}

/// Changes one's own password.
///
/// Every session of the account ends, on every device; the answer begins a new one.
#[utoipa::path(
    post,
    path = "/api/v1/auth/password",
    operation_id = "change_own_password",
    tag = "accounts",
    request_body(
        content = PasswordRequest,
        example = json!({"current_password": "correct horse battery", "new_password": "a longer horse battery"}),
    ),
    responses(
        (status = 200, description = "The tokens of the new session", body = SessionTokens,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 403, description = "That is not the current password"),
    ),
)]
pub(in crate::http) async fn change(
    request: HttpRequest,
    state: HttpState,
    principal: Principal,
    origin: Origin,
    body: JsonObject,
) -> Answer {
    let (current, new) = read(&body)?;
    check_subject(&request, &principal.account).await?;
    let pair = state.accounts.change_own_password(&principal, current, new, &origin).await?;
    Ok(tokens::answer(&pair))
}

fn read(body: &JsonObject) -> Result<(SecretString, SecretString)> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let current = fields.required("current_password", tokens::secret);
    let new = fields.required("new_password", tokens::new_password);
    fields.refuse_the_rest();
    match (current, new, problems.0.is_empty()) {
        (Some(current), Some(new), true) => Ok((current, new)),
        _ => Err(Error::Validation(problems.0)),
    }
}
