//! What a command uses of the configuration.

/// What has to be there. A command is refused for what it uses, not for what only others do: a job that migrates the
/// database holds no key to the personal data in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Keys and switches that name no other system: `aval decide`, `aval provider-sim`.
    Settings,
    /// The database too: `aval migrate`.
    Database,
    /// The secrets, and everything that serving needs.
    Everything,
}

impl Need {
    /// Whether a key that names a system or holds a secret is used.
    pub(super) fn uses(self, key: &str) -> bool {
        match self {
            Self::Settings => false,
            Self::Database => key.starts_with("database."),
            Self::Everything => true,
        }
    }
}
