//! Access rules of routes.

use crate::accounts::Principal;
use crate::config::Environment;
use crate::domain::account::Role;
pub use crate::domain::account::Scope;
use crate::error::{Error, PublicMessage};
use crate::http::problem::Rejection;

/// The access rule of a route. Every entry of the route table has one, which prevents a route from being public by
/// omission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No authentication.
    Public,
    /// The body carries a signature, which the handler verifies.
    Signed,
    /// Any account, and any API key regardless of its scopes.
    Anyone,
    /// A user with at least this role. API keys are refused: a key could otherwise create a user account that outlives
    /// it.
    People(Role),
    /// An account with at least this role; an API key also needs the scope.
    AtLeast(Role, Scope),
    /// No authentication in development. In production, admins, keys of any role with [`Scope::MetricsRead`], and admin
    /// keys with [`Scope::OperationsRead`].
    Metrics,
    /// No authentication in development. In production, admins, and keys with [`Scope::OperationsRead`].
    Operators,
}

impl Access {
    /// Whether the request must be authenticated.
    pub fn requires_authentication(self, environment: Environment) -> bool {
        match self {
            Self::Public | Self::Signed => false,
            Self::Anyone | Self::People(_) | Self::AtLeast(..) => true,
            Self::Metrics | Self::Operators => environment.is_production(),
        }
    }

    /// The required role and scope; `None` if the rule is not expressed as a role and a scope.
    pub fn needs(self) -> Option<(Role, Scope)> {
        match self {
            Self::AtLeast(role, scope) => Some((role, scope)),
            Self::Operators => Some((Role::Admin, Scope::OperationsRead)),
            Self::Public | Self::Signed | Self::Anyone | Self::People(_) | Self::Metrics => None,
        }
    }

    /// Checks that `principal` may use the route; otherwise returns a 403 that names the missing role or scope.
    pub fn admit(self, principal: &Principal) -> Result<(), Rejection> {
        if let Self::People(role) = self {
            if !principal.is_person() {
                return Err(forbidden("API keys cannot use this endpoint.").into());
            }
            if principal.role < role {
                return Err(forbidden(format!("The role {role} is required.")).into());
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
            return Err(forbidden(format!("The role {role} is required.")).into());
        }
        if !principal.has_scope(scope) {
            let error = forbidden(format!("An API key with the scope {scope} is required."));
            let parameters = format!(r#"error="insufficient_scope", scope="{scope}""#);
            return Err(Rejection::Challenged { error, parameters });
        }
        Ok(())
    }
}

fn forbidden(text: impl Into<String>) -> Error {
    Error::Forbidden(PublicMessage::new(text))
}
