//! `POST /api/v1/auth/password`

use actix_web::HttpRequest;
use secrecy::SecretString;

use super::tokens::{self, SessionTokens};
use crate::accounts::Origin;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::limits::check_subject;
use crate::http::problem::Answer;
use crate::http::request::request_body;

request_body! {
    /// A change of one's own password.
    pub struct PasswordRequest {
        /// The password until now.
        #[schema(value_type = String, max_length = 512, example = "correct horse battery")]
        current_password: SecretString = required(tokens::secret),
        /// The password from now on.
        #[schema(value_type = String, min_length = 12, max_length = 128, example = "a longer horse battery")]
        new_password: SecretString = required(tokens::new_password),
    }
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
    let PasswordRequest { current_password, new_password } = PasswordRequest::read(body.members()?)?;
    check_subject(&request, &principal.account).await?;
    let accounts = &state.accounts;
    let pair = accounts.change_own_password(&principal, current_password, new_password, &origin).await?;
    Ok(tokens::answer(&pair))
}
