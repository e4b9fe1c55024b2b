//! Management of user accounts (admins only).

pub mod change;
pub mod create;
pub mod get;
pub mod list;
pub mod view;

use serde_json::value::RawValue;

use crate::domain::account::Role;
use crate::domain::members::{Refusal, string};

/// Parses the name of a role.
pub(super) fn role(raw: &RawValue) -> Result<Role, Refusal> {
    let refusal =
        |_unknown| ("unknown_role", format!("must be one of {}", Role::ALL.map(Role::as_str).join(", ")));
    string(raw)?.parse().map_err(refusal)
}
