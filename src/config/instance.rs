//! `[instance]`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::{Error, Result};

/// A part that an instance plays. Any number of instances may play each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum InstanceRole {
    /// Serves REST and WebSocket clients.
    Api,
    /// Works on jobs and stands by to keep house.
    Worker,
    /// Stands by to publish events.
    Relay,
}

impl InstanceRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Api, Self::Worker, Self::Relay];

    /// The name in configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Relay => "relay",
        }
    }
}

impl FromStr for InstanceRole {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text.trim());
        known.ok_or_else(|| {
            Error::configuration(format_args!("{text:?} is no role; the roles are api, worker and relay"))
        })
    }
}

impl TryFrom<String> for InstanceRole {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for InstanceRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What this process is among the instances that share a database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSettings {
    /// What it does.
    pub roles: Vec<InstanceRole>,
    /// How far its clock may be from the database's while it is ready.
    pub max_clock_skew_ms: u64,
}

impl InstanceSettings {
    /// Whether it plays this part.
    pub fn is(&self, role: InstanceRole) -> bool {
        self.roles.contains(&role)
    }

    /// How far its clock may be from the database's while it is ready.
    pub fn max_clock_skew(&self) -> Duration {
        Duration::from_millis(self.max_clock_skew_ms)
    }

    pub(super) fn validate(&self) -> Result<()> {
        require(!self.roles.is_empty(), "instance.roles", "must name at least one of api, worker and relay")?;
        require(self.max_clock_skew_ms >= 1000, "instance.max_clock_skew_ms", "must be at least 1000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_by_name_and_nothing_else_is_one() {
        for role in InstanceRole::ALL {
            assert_eq!(role.to_string().parse::<InstanceRole>().unwrap(), role);
        }
        assert!(" worker".parse::<InstanceRole>().is_ok());
        for text in ["", "Api", "api,worker"] {
            assert!(text.parse::<InstanceRole>().is_err(), "{text}");
        }
    }
}
