//! Who may use a route.

use crate::domain::account::Role;

/// Who may use a route. Every line of the route table has one, so that nothing is open by omission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever signs the body: the handler verifies it.
    Signed,
    /// An account with at least this role; an API key needs the scope as well.
    AtLeast(Role, Scope),
    /// Anybody in development; in production admins, and keys with [`Scope::OperationsRead`].
    Operators,
}

/// What an API key was made for. People have every scope of their role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Reading applications, countries and live updates.
    ApplicationsRead,
    /// Making, changing and cancelling applications.
    ApplicationsWrite,
    /// Reviewing.
    ApplicationsReview,
    /// Reading metrics, jobs and logs of access.
    OperationsRead,
    /// Changing how Aval runs, and who may use it.
    OperationsWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [
        Self::ApplicationsRead,
        Self::ApplicationsWrite,
        Self::ApplicationsReview,
        Self::OperationsRead,
        Self::OperationsWrite,
    ];

    /// The name used in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationsRead => "applications:read",
            Self::ApplicationsWrite => "applications:write",
            Self::ApplicationsReview => "applications:review",
            Self::OperationsRead => "operations:read",
            Self::OperationsWrite => "operations:write",
        }
    }
}
