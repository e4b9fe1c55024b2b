//! Roles, scopes and names of accounts.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Permissions of an account. Each role includes the permissions of the roles before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Create applications, and read and cancel the account's own.
    User,
    /// Read and review all applications.
    Analyst,
    /// Everything, including operations.
    Admin,
}

impl Role {
    /// Every role, in ascending order.
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

/// Permissions of an API key. User accounts have every scope of their role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Scope {
    /// Read applications, countries and live updates.
    #[serde(rename = "applications:read")]
    ApplicationsRead,
    /// Create, change and cancel applications.
    #[serde(rename = "applications:write")]
    ApplicationsWrite,
    /// Review applications.
    #[serde(rename = "applications:review")]
    ApplicationsReview,
    /// Read published events, and ingested events of a user.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Send events for ingestion.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// Read metrics only, for monitoring systems.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Read metrics, jobs and access logs.
    #[serde(rename = "operations:read")]
    OperationsRead,
    /// Make operational changes, and manage accounts and API keys.
    #[serde(rename = "operations:write")]
    OperationsWrite,
    /// Manage webhook endpoints, and read their deliveries.
    #[serde(rename = "webhooks:manage")]
    WebhooksManage,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 9] = [
        Self::ApplicationsRead,
        Self::ApplicationsWrite,
        Self::ApplicationsReview,
        Self::EventsRead,
        Self::EventsWrite,
        Self::MetricsRead,
        Self::OperationsRead,
        Self::OperationsWrite,
        Self::WebhooksManage,
    ];

    /// The name used in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationsRead => "applications:read",
            Self::ApplicationsWrite => "applications:write",
            Self::ApplicationsReview => "applications:review",
            Self::EventsRead => "events:read",
            Self::EventsWrite => "events:write",
            Self::MetricsRead => "metrics:read",
            Self::OperationsRead => "operations:read",
            Self::OperationsWrite => "operations:write",
            Self::WebhooksManage => "webhooks:manage",
        }
    }
}

impl Scope {
    /// The lowest role that may call the routes of this scope. A key with a lower role cannot use the scope.
    pub const fn minimum_role(self) -> Role {
        match self {
            Self::ApplicationsRead | Self::ApplicationsWrite | Self::EventsWrite | Self::MetricsRead => {
                Role::User
            }
            Self::ApplicationsReview | Self::EventsRead => Role::Analyst,
            Self::OperationsRead | Self::OperationsWrite | Self::WebhooksManage => Role::Admin,
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

/// Rate limits of an API key. For an absent limit, the configured limit applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KeyLimits {
    /// Requests per minute, other than requests that create applications.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Created applications per minute.
    pub applications_per_minute: Option<NonZeroU32>,
}

impl KeyLimits {
    /// Largest allowed value of either limit.
    pub const MAX_PER_MINUTE: u32 = 100_000;
}

/// The name of an account: 3 to 64 of `a-z`, `0-9`, `.`, `_` and `-`. It is stored in rows that cannot be erased, so it
/// must not be personal data. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// The prefix of an API key's account name. A user cannot have such a name, because user names contain no colon.
    pub const KEY_PREFIX: &'static str = "key:";
    /// The maximum length of a key's name, in characters. With the prefix, it equals the maximum length of a user name.
    pub const KEY_MAX_CHARS: usize = 60;
    const CHARS: std::ops::RangeInclusive<usize> = 3..=64;

    /// `None` if the name is not valid.
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        (Self::CHARS.contains(&text.len()) && text.bytes().all(is_allowed)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_by_permissions() {
        assert!(Role::User < Role::Analyst && Role::Analyst < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn scopes_parse_from_their_own_names() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert!("applications".parse::<Scope>().is_err());
    }

    #[test]
    fn account_names_are_short_lower_case_ascii() {
        for name in ["ana", "a.b-c_9", &"x".repeat(64)] {
            assert_eq!(AccountName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "an", &"x".repeat(65), "Ana", "an a", "key:x", "aña", "a\nb", "system:x"] {
            assert_eq!(AccountName::parse(name), None, "{name}");
        }
    }
}
