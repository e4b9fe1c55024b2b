//! `POST /api/v1/users`

use actix_web::http::{StatusCode, header};
use secrecy::SecretString;
use serde_json::value::RawValue;

use super::role;
use super::view::UserView;
use crate::accounts::{NewAccount, Origin, User, check_password};
use crate::domain::account::{AccountName, Role};
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::Answer;
use crate::http::request::request_body;
use crate::http::request::values::text;
use crate::http::sessions;
use crate::json::Refusal;

request_body! {
    /// A new user account.
    pub struct CreateUserRequest {
        /// The name, which cannot be changed. Do not use personal data: the name appears in records that are never
        /// erased.
        #[schema(value_type = String, min_length = 3, max_length = 64, pattern = "^[a-z0-9._-]+$", example = "ana.lopez")]
        username: AccountName = required(text(account_name)),
        /// At least 12 characters after NFKC normalization. Must not be the username or easy to guess.
        #[schema(value_type = String, min_length = 12, max_length = 128, example = "correct horse battery")]
        password: SecretString = required(|raw| strong_password(raw, username.as_ref())),
        /// The role of the account.
        #[schema(value_type = crate::http::schemas::RoleName)]
        role: Role = required(text(role)),
    }
}

/// Creates a user account.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    operation_id = "create_user",
    tag = "accounts",
    params(Idempotency),
    request_body(
        content = CreateUserRequest,
        example = json!({"username": "ana.lopez", "password": "correct horse battery", "role": "analyst"}),
    ),
    responses(
        (status = 201, description = "User account created", body = UserView,
            headers(("Location" = String, description = "Path of the user account"))),
        (status = 409, description = "The name is taken, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    principal: Principal,
    origin: Origin,
    idempotency: Idempotency,
    body: JsonObject,
) -> Answer {
    let keyed = idempotency.keyed(&state, &principal.account, body.as_bytes(), &reply);
    let made = state.accounts.create_user(read(&body)?, &origin, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(user: &User) -> Result<Reply> {
    let location = format!("/api/v1/users/{}", user.id);
    let reply = Reply::json(StatusCode::CREATED, &UserView::from(user.clone()))?;
    Ok(reply.with_header(&header::LOCATION, location))
}

fn read(body: &JsonObject) -> Result<NewAccount> {
    let CreateUserRequest { username: name, password, role } = CreateUserRequest::read(body.members()?)?;
    Ok(NewAccount { name, password, role })
}

fn account_name(text: &str) -> Result<AccountName, Refusal> {
    let refusal =
        || ("bad_name", "must be 3 to 64 characters from a-z, 0-9, dot, underscore and hyphen".to_owned());
    AccountName::parse(text).ok_or_else(refusal)
}

fn strong_password(raw: &RawValue, name: Option<&AccountName>) -> Result<SecretString, Refusal> {
    let password = sessions::new_password(raw)?;
    match name.map(|name| check_password(&password, name)) {
        Some(Err(problem)) => Err((problem.code(), problem.detail().to_owned())),
        Some(Ok(())) | None => Ok(password),
    }
}
