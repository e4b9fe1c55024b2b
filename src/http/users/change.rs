//! `PATCH /api/v1/users/{id}`

use actix_web::HttpResponse;
use secrecy::SecretString;

use super::role;
use super::view::UserView;
use crate::accounts::{ChangeOrigin, UserPatch};
use crate::domain::account::Role;
use crate::domain::personal_data::{Email, FullName};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{email, full_name, text};
use crate::http::sessions;
use crate::json::boolean;

request_body! {
    /// A JSON Merge Patch (RFC 7396) with at least one change.
    pub struct ChangeUserRequest {
        /// The new role. The account's access tokens are revoked; its sessions continue with the new role.
        #[schema(value_type = Option<crate::http::schemas::RoleName>)]
        role: Option<Role> = changed(text(role)),
        /// Whether the account is disabled. Disabling an account immediately ends its sessions and revokes its access
        /// tokens.
        disabled: Option<bool> = changed(boolean),
        /// A new password, for an account other than the caller's. It immediately ends the account's sessions and
        /// revokes its access tokens.
        #[schema(value_type = Option<String>, min_length = 12, max_length = 128)]
        password: Option<SecretString> = changed(sessions::new_password),
        /// The full name of the person; `null` removes it.
        #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
        name: Option<Option<FullName>> = changed_or_removed(text(full_name)),
        /// The e-mail address of the person; `null` removes it.
        #[schema(value_type = Option<String>, max_length = 254)]
        email: Option<Option<Email>> = changed_or_removed(text(email)),
    }
}

/// Changes a user account.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{id}",
    operation_id = "change_user",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the user account")),
    request_body(content = ChangeUserRequest, example = json!({"role": "analyst"})),
    responses(
        (status = 200, description = "The user account after the change", body = UserView),
        (status = 403, description = "Callers change their own password with `/api/v1/auth/password`, which requires the current one"),
        (status = 404, description = "User account not found"),
        (status = 409, description = "The account is the last enabled admin, or another account has the e-mail address"),
    ),
)]
pub(in crate::http) async fn change(
    state: HttpState,
    origin: ChangeOrigin,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    let changed = state.accounts.change_user(id, read(&body)?, &origin).await?;
    Ok(HttpResponse::Ok().json(UserView::from(changed)))
}

fn read(body: &JsonObject) -> Result<UserPatch> {
    let ChangeUserRequest { role, disabled, password, name, email } =
        ChangeUserRequest::read(body.members()?)?;
    if role.is_none() && disabled.is_none() && password.is_none() && name.is_none() && email.is_none() {
        return Err(Error::field("", "required", "must contain role, disabled, password, name or email"));
    }
    Ok(UserPatch { role, disabled, password, name, email })
}
