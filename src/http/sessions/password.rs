//! `POST /api/v1/auth/password`

use actix_web::HttpRequest;
use secrecy::SecretString;

use super::tokens::{self, SessionTokens};
use crate::accounts::ChangeOrigin;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::limits::check_subject;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;

request_body! {
    /// A change of the caller's password.
    pub struct PasswordRequest {
        /// The current password.
        #[schema(value_type = String, max_length = 512, example = "correct horse battery")]
        current_password: SecretString = required(tokens::secret),
        /// The new password.
        #[schema(value_type = String, min_length = 12, max_length = 128, example = "a longer horse battery")]
        new_password: SecretString = required(tokens::new_password),
    }
}

/// Changes the caller's password.
///
/// All sessions of the account end, on every device. The response contains the tokens of a new session.
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
        (status = 403, description = "The current password is wrong"),
    ),
)]
pub(in crate::http) async fn change(
    request: HttpRequest,
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    body: JsonObject,
) -> HandlerResult {
    let PasswordRequest { current_password, new_password } = PasswordRequest::read(body.members()?)?;
    check_subject(&request, &principal.account).await?;
    let accounts = &state.accounts;
    let pair = accounts.change_own_password(&principal, current_password, new_password, &origin).await?;
    Ok(tokens::respond(&pair))
}
