//! Which settings a command needs.

/// The settings that a command needs. Settings that only other commands need are not checked: a migration job, for
/// example, runs without encryption keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Only settings that neither name another system nor hold a secret: `aval decide`, `aval provider-sim`.
    Settings,
    /// Also the settings of the database: `aval migrate`.
    Database,
    /// All settings, including secrets.
    Everything,
}

impl Need {
    /// Whether the command needs `key`, which names a system or holds a secret.
    pub(super) fn uses(self, key: &str) -> bool {
        match self {
            Self::Settings => false,
            Self::Database => key.starts_with("database."),
            Self::Everything => true,
        }
    }
}
