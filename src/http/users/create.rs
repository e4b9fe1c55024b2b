//! `POST /api/v1/users`

use actix_web::http::{StatusCode, header};
use secrecy::SecretString;
use serde_json::value::RawValue;

use super::role;
use super::view::UserView;
use crate::accounts::{Account, Accounts, ChangeOrigin, Contact, NewAccount, check_password};
use crate::domain::account::{AccountName, Role};
use crate::domain::personal_data::{Email, FullName};
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{email, full_name, text};
use crate::http::sessions;
use crate::json::Refusal;

request_body! {
    /// A new user account. `username`, `password` and `role` are required, unless there is an `email` and no `username`.
    pub struct CreateUserRequest given(is_named: bool) {
        /// The name, which cannot be changed. Do not use personal data: the name appears in records that are never
        /// erased. The default, if there is an `email`, is `user-` followed by random digits.
        #[schema(value_type = Option<String>, min_length = 3, max_length = 64, pattern = "^[a-z0-9._-]+$", example = "ana.lopez")]
        username: Option<AccountName> = required_when(is_named, text(account_name)),
        /// At least 12 characters after NFKC normalization. Must not be the username or easy to guess. By default, if there
        /// is no `username`, the account cannot sign in until an admin sets a password.
        #[schema(value_type = Option<String>, min_length = 12, max_length = 128, example = "correct horse battery")]
        password: Option<SecretString> = required_when(is_named, |raw| strong_password(raw, username.as_ref())),
        /// The role of the account. The default, if there is no `username`, is `user`.
        #[schema(value_type = Option<crate::http::schemas::RoleName>)]
        role: Option<Role> = required_when(is_named, text(role)),
        /// The full name of the person. It is encrypted and only shown to admins.
        #[schema(value_type = Option<String>, min_length = 1, max_length = 255, example = "Ana López")]
        name: Option<FullName> = optional(text(full_name)),
        /// The e-mail address of the person. It is encrypted and only shown to admins. No two accounts can have the same
        /// address.
        #[schema(value_type = Option<String>, max_length = 254, example = "ana.lopez@example.com")]
        email: Option<Email> = optional(text(email)),
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
        (status = 409, description = "The name or the e-mail address is taken, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    idempotency: Idempotency,
    body: JsonObject,
) -> HandlerResult {
    let keyed = idempotency.keyed(&state, &principal.account, body.as_bytes(), &reply);
    let made = state.accounts.create_user(read(&body, &state.accounts)?, &origin, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(account: &Account) -> Result<Reply> {
    let location = format!("/api/v1/users/{}", account.user.id);
    let reply = Reply::json(StatusCode::CREATED, &UserView::from(account.clone()))?;
    Ok(reply.with_header(&header::LOCATION, location))
}

fn read(body: &JsonObject, accounts: &Accounts) -> Result<NewAccount> {
    let is_named = body.members()?.get("username").is_some() || body.members()?.get("email").is_none();
    let CreateUserRequest { username, password, role, name, email } =
        CreateUserRequest::read(body.members()?, is_named)?;
    Ok(NewAccount {
        name: username.map_or_else(|| accounts.generate_name(), Ok)?,
        password: password.unwrap_or_else(|| accounts.generate_password()),
        role: role.unwrap_or(Role::User),
        contact: Contact { name, email },
    })
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
