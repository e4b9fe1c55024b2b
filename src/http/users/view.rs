//! Response type for user accounts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::Account;
use crate::domain::account::Role;
use crate::domain::label::Label;

/// A user account.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// The identifier.
    id: Uuid,
    /// The name; it never changes.
    #[schema(example = "ana.lopez")]
    username: String,
    /// The full name of the person, if it is known.
    #[schema(example = "Ana López")]
    name: Option<String>,
    /// The e-mail address of the person, if it is known.
    #[schema(example = "ana.lopez@example.com")]
    email: Option<String>,
    /// The role of the account.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: Label<Role>,
    /// Whether the account is disabled; disabled accounts cannot sign in.
    disabled: bool,
    /// When the account was disabled.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    disabled_at: Option<DateTime<Utc>>,
    /// The account that created this user account.
    #[schema(example = "admin")]
    created_by: String,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// Time of the last change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    updated_at: DateTime<Utc>,
}

impl From<Account> for UserView {
    fn from(Account { user, contact }: Account) -> Self {
        Self {
            id: user.id,
            username: user.username,
            name: contact.name.map(|name| name.reveal().to_owned()),
            email: contact.email.map(|email| email.reveal().to_owned()),
            role: user.role.0,
            disabled: user.disabled_at.is_some(),
            disabled_at: user.disabled_at,
            created_by: user.created_by,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}
