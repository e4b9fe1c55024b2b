//! `PATCH /api/v1/users/{id}`

use actix_web::HttpResponse;
use utoipa::ToSchema;

use super::view::UserView;
use crate::accounts::{Origin, UserPatch};
use crate::domain::members::{Fields, Problems, boolean};
use crate::error::{Error, FieldError, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::IdPath;
use crate::http::problem::Answer;
use crate::http::sessions;

/// A JSON Merge Patch (RFC 7396): what is to change, at least one of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct ChangeUserRequest {
    /// Another role. Ends the account's access tokens; its sessions go on with the new role.
    #[schema(value_type = Option<crate::http::schemas::RoleName>)]
    role: Option<String>,
    /// Whether it may not log in. Disabling ends its sessions and access tokens at once.
    disabled: Option<bool>,
    /// Another password, for another account than one's own. Ends its sessions and access tokens at once.
    #[schema(min_length = 12, max_length = 128)]
    password: Option<String>,
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
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let role = fields.changed("role", super::role);
    let disabled = fields.changed("disabled", boolean);
    let password = fields.changed("password", sessions::new_password);
    fields.refuse_the_rest();
    if problems.0.is_empty() && role.is_none() && disabled.is_none() && password.is_none() {
        problems.0.push(FieldError::new("", "required", "needs role, disabled or password"));
    }
    if problems.0.is_empty() {
        Ok(UserPatch { role, disabled, password })
    } else {
        Err(Error::Validation(problems.0))
    }
}
