//! How an account is shown.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::{ListedUser, User};
use crate::domain::account::Role;
use crate::domain::label::Label;

/// A person's account.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// The identifier.
    id: Uuid,
    /// The name, which never changes.
    #[schema(example = "ana.lopez")]
    username: String,
    /// What it may do.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: Label<Role>,
    /// Whether it may not log in.
    disabled: bool,
    /// Since when it may not.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    disabled_at: Option<DateTime<Utc>>,
    /// Who made it.
    #[schema(example = "admin")]
    created_by: String,
    /// When it was made.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    updated_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        ListedUser::from(user).into()
    }
}

impl From<ListedUser> for UserView {
    fn from(user: ListedUser) -> Self {
        Self {
            id: user.id,
            username: user.username,
            role: user.role.0,
            disabled: user.disabled_at.is_some(),
            disabled_at: user.disabled_at,
            created_by: user.created_by,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}
