//! Which applications a caller may see.

/// The applications that are visible to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    All,
    /// The applications of this account.
    OwnedBy(String),
}

impl Visibility {
    /// Whether the applications of `owner` are visible.
    pub(super) fn includes(&self, owner: &str) -> bool {
        match self {
            Self::All => true,
            Self::OwnedBy(account) => account == owner,
        }
    }
}
