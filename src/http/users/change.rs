//! `PATCH /api/v1/users/{id}`

use actix_web::HttpResponse;
use secrecy::SecretString;

use super::role;
use super::view::UserView;
use crate::accounts::{Origin, UserPatch};
use crate::domain::account::Role;
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::IdPath;
use crate::http::problem::Answer;
use crate::http::request::request_body;
use crate::http::request::values::text;
use crate::http::sessions;
use crate::json::boolean;

request_body! {
    /// A JSON Merge Patch (RFC 7396): what is to change, at least one of them.
    pub struct ChangeUserRequest {
        /// Another role. Ends the account's access tokens; its sessions go on with the new role.
        #[schema(value_type = Option<crate::http::schemas::RoleName>)]
        role: Option<Role> = changed(text(role)),
        /// Whether it may not log in. Disabling ends its sessions and access tokens at once.
        disabled: Option<bool> = changed(boolean),
        /// Another password, for another account than one's own. Ends its sessions and access tokens at once.
        #[schema(value_type = Option<String>, min_length = 12, max_length = 128)]
        password: Option<SecretString> = changed(sessions::new_password),
    }
}

/// Changes an account.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{id}",
    operation_id = "change_user",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "The account")),
    request_body(content = ChangeUserRequest, example = json!({"role": "analyst"})),
    responses(
        (status = 200, description = "The account after the change", body = UserView),
        (status = 403, description = "The account is one's own, and its password takes the current one (`/api/v1/auth/password`)"),
        (status = 404, description = "There is none"),
        (status = 409, description = "It is the last enabled admin"),
    ),
)]
pub(in crate::http) async fn change(
    state: HttpState,
    origin: Origin,
    IdPath(id): IdPath,
    body: JsonObject,
) -> Answer {
    let changed = state.accounts.change_user(id, read(&body)?, &origin).await?;
    Ok(HttpResponse::Ok().json(UserView::from(changed)))
}

fn read(body: &JsonObject) -> Result<UserPatch> {
    let ChangeUserRequest { role, disabled, password } = ChangeUserRequest::read(body.members()?)?;
    if role.is_none() && disabled.is_none() && password.is_none() {
        return Err(Error::field("", "required", "needs role, disabled or password"));
    }
    Ok(UserPatch { role, disabled, password })
}
