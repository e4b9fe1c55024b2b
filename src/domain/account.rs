//! Accounts: what they may do, and how they are called.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an account may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Make applications, see its own and cancel them.
    User,
    /// See all applications and review them.
    Analyst,
    /// Everything, operations included.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::User, Self::Analyst, Self::Admin];

    /// The name used in JSON, SQL and tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or("not a role")
    }
}

/// What an API key was made for. People have every scope of their role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Scope {
    /// Reading applications, countries and live updates.
    #[serde(rename = "applications:read")]
    ApplicationsRead,
    /// Making, changing and cancelling applications.
    #[serde(rename = "applications:write")]
    ApplicationsWrite,
    /// Reviewing.
    #[serde(rename = "applications:review")]
    ApplicationsReview,
    /// Reading metrics, and nothing else: for whoever collects them.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Reading metrics, jobs and logs of access.
    #[serde(rename = "operations:read")]
    OperationsRead,
    /// Changing how Aval runs, and who may use it.
    #[serde(rename = "operations:write")]
    OperationsWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [
        Self::ApplicationsRead,
        Self::ApplicationsWrite,
        Self::ApplicationsReview,
        Self::MetricsRead,
        Self::OperationsRead,
        Self::OperationsWrite,
    ];

    /// The name used in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationsRead => "applications:read",
            Self::ApplicationsWrite => "applications:write",
            Self::ApplicationsReview => "applications:review",
            Self::MetricsRead => "metrics:read",
            Self::OperationsRead => "operations:read",
            Self::OperationsWrite => "operations:write",
        }
    }
}

impl Scope {
    /// The least role that a key with this scope needs for the scope to be of any use: the route table asks for it.
    pub const fn least_role(self) -> Role {
        match self {
            Self::ApplicationsRead | Self::ApplicationsWrite | Self::MetricsRead => Role::User,
            Self::ApplicationsReview => Role::Analyst,
            Self::OperationsRead | Self::OperationsWrite => Role::Admin,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or("not a scope")
    }
}

/// How often an API key may be used, where that differs from the configured limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KeyLimits {
    /// Requests a minute, creations not counted.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Applications created a minute.
    pub applications_per_minute: Option<NonZeroU32>,
}

impl KeyLimits {
    /// The most that either can be.
    pub const MAX_PER_MINUTE: u32 = 100_000;
}

/// How an account is called: 3 to 64 of `a-z`, `0-9`, `.`, `_` and `-`. It stands in rows that nobody can erase, so that it
/// must be no personal datum, and it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// What an API key's account begins with. No person's name has a colon.
    pub const KEY_PREFIX: &'static str = "key:";
    /// Longest name of a key, so that its account's name is no longer than a person's.
    pub const KEY_MAX_CHARS: usize = 60;
    const CHARS: std::ops::RangeInclusive<usize> = 3..=64;

    /// Checks a name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        (Self::CHARS.contains(&text.len()) && text.bytes().all(is_allowed)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_may_more_than_an_analyst_and_an_analyst_more_than_a_user() {
        assert!(Role::User < Role::Analyst && Role::Analyst < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn scopes_are_written_and_read_alike() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert!("applications".parse::<Scope>().is_err());
    }

    #[test]
    fn a_name_is_short_plain_and_lower_case() {
        for name in ["ana", "a.b-c_9", &"x".repeat(64)] {
            assert_eq!(AccountName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "an", &"x".repeat(65), "Ana", "an a", "key:x", "aña", "a\nb", "system:x"] {
            assert_eq!(AccountName::parse(name), None, "{name}");
        }
    }
}
