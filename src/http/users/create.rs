//! `POST /api/v1/users`

use actix_web::http::{StatusCode, header};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::view::UserView;
use crate::accounts::{NewAccount, Origin, User, check_password};
use crate::domain::account::AccountName;
use crate::domain::members::{Fields, Problems, Refusal, string};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::idempotency::{self, Idempotency, IdempotencyParameter, Reply};
use crate::http::problem::Answer;
use crate::http::sessions;

/// A new account.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct CreateUserRequest {
    /// How it is called, for ever. It stands in records that are never erased: no personal data.
    #[schema(min_length = 3, max_length = 64, pattern = "^[a-z0-9._-]+$", example = "ana.lopez")]
    username: String,
    /// At least 12 characters of any kind, after NFKC; neither the username nor one that is easy to guess.
    #[schema(min_length = 12, max_length = 128, example = "correct horse battery")]
    password: String,
    /// What it may do.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: String,
}

/// Makes an account.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    operation_id = "create_user",
    tag = "accounts",
    params(IdempotencyParameter),
    request_body(
        content = CreateUserRequest,
        example = json!({"username": "ana.lopez", "password": "correct horse battery", "role": "analyst"}),
    ),
    responses(
        (status = 201, description = "It is made", body = UserView,
            headers(("Location" = String, description = "Its path"))),
        (status = 409, description = "The name is taken, or the same request is being answered at this moment"),
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
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let name = fields.required("username", account_name);
    let password = fields.required("password", sessions::new_password);
    if let (Some(name), Some(password)) = (&name, &password)
        && let Err(problem) = check_password(password, name)
    {
        fields.refuse("password", problem.code(), problem.detail());
    }
    let role = fields.required("role", super::role);
    fields.refuse_the_rest();
    match (name, password, role, problems.0.is_empty()) {
        (Some(name), Some(password), Some(role), true) => Ok(NewAccount { name, password, role }),
        _ => Err(Error::Validation(problems.0)),
    }
}

/// The name of an account.
pub(in crate::http) fn account_name(raw: &RawValue) -> Result<AccountName, Refusal> {
    let refusal = || ("bad_name", "must be 3 to 64 of a-z, 0-9, dot, underscore and hyphen".to_owned());
    AccountName::parse(&string(raw)?).ok_or_else(refusal)
}
