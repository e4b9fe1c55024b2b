//! Management of user accounts (admins only).

pub mod change;
pub mod create;
pub mod get;
pub mod list;
pub mod sessions;
pub mod view;

use crate::domain::account::Role;
use crate::json::Refusal;

/// Reads the name of a role.
pub(super) fn role(text: &str) -> Result<Role, Refusal> {
    let refusal =
        |_unknown| ("unknown_role", format!("must be one of {}", Role::ALL.map(Role::as_str).join(", ")));
    text.parse().map_err(refusal)
}
