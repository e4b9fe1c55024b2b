//! Who may use a route.

use crate::accounts::Principal;
use crate::config::Environment;
use crate::domain::account::Role;
pub use crate::domain::account::Scope;
use crate::error::{Error, PublicMessage};
use crate::http::problem::Rejection;

/// Who may use a route. Every line of the route table has one, so that nothing is open by omission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever signs the body: the handler verifies it.
    Signed,
    /// Any account, and any API key whatever its scopes.
    Anyone,
    /// A person with at least this role. Not an API key: it has no session and no password, and could otherwise make
    /// itself an account that outlives it.
    People(Role),
    /// An account with at least this role; an API key needs the scope as well.
    AtLeast(Role, Scope),
    /// Anybody in development; in production admins, keys of any role with [`Scope::MetricsRead`], and keys of admins with
    /// [`Scope::OperationsRead`].
    Metrics,
    /// Anybody in development; in production admins, and keys with [`Scope::OperationsRead`].
    Operators,
}

impl Access {
    /// Whether a request must say who sent it.
    pub fn asks_who(self, environment: Environment) -> bool {
        match self {
            Self::Public | Self::Signed => false,
            Self::Anyone | Self::People(_) | Self::AtLeast(..) => true,
            Self::Metrics | Self::Operators => environment == Environment::Production,
        }
    }

    /// The role and the scope that are needed, where it is not about being known at all.
    pub fn needs(self) -> Option<(Role, Scope)> {
        match self {
            Self::AtLeast(role, scope) => Some((role, scope)),
            Self::Operators => Some((Role::Admin, Scope::OperationsRead)),
            Self::Public | Self::Signed | Self::Anyone | Self::People(_) | Self::Metrics => None,
        }
    }

    /// Lets `principal` in, or says why not.
    ///
    /// # Errors
    /// A 403 that names the role or the scope that is missing.
    pub fn admit(self, principal: &Principal) -> Result<(), Rejection> {
        if let Self::People(role) = self {
            if !principal.is_person() {
                return Err(forbidden("This is for people, not for API keys.").into());
            }
            if principal.role < role {
                return Err(forbidden(format!("This needs the role {role}.")).into());
            }
        }
        let may_read_metrics = !principal.is_person() && principal.has_scope(Scope::MetricsRead);
        let needed = match self {
            Self::Metrics if may_read_metrics => None,
            Self::Metrics => Self::Operators.needs(),
            other => other.needs(),
        };
        let Some((role, scope)) = needed else { return Ok(()) };
        if principal.role < role {
            return Err(forbidden(format!("This needs the role {role}.")).into());
        }
        if !principal.has_scope(scope) {
            let error = forbidden(format!("This needs an API key with the scope {scope}."));
            let parameters = format!(r#"error="insufficient_scope", scope="{scope}""#);
            return Err(Rejection::Challenged { error, parameters });
        }
        Ok(())
    }
}

fn forbidden(text: impl Into<String>) -> Error {
    Error::Forbidden(PublicMessage::new(text))
}
