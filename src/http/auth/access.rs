//! Who may use a route.

pub use crate::domain::account::Scope;

use crate::domain::account::Role;

/// Who may use a route. Every line of the route table has one, so that nothing is open by omission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever signs the body: the handler verifies it.
    Signed,
    /// Any account, and any API key whatever its scopes.
    Anyone,
    /// Any person: an API key has no session and no password.
    People,
    /// An account with at least this role; an API key needs the scope as well.
    AtLeast(Role, Scope),
    /// Anybody in development; in production admins, and keys with [`Scope::OperationsRead`].
    Operators,
}
