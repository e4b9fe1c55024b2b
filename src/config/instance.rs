//! `[instance]`: the roles of this process.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::{Error, Result};

/// A role of an instance. Any number of instances may have each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum InstanceRole {
    /// Serves REST and WebSocket clients.
    Api,
    /// Runs jobs, and can become the leader that runs scheduled tasks.
    Worker,
    /// Can become the leader that publishes events.
    Relay,
    /// Handles published events.
    Consumer,
}

impl InstanceRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Api, Self::Worker, Self::Relay, Self::Consumer];

    /// The name in the configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Relay => "relay",
            Self::Consumer => "consumer",
        }
    }
}

impl FromStr for InstanceRole {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text.trim());
        known.ok_or_else(|| {
            Error::configuration(format_args!("{text:?} is not a role: use api, worker, relay or consumer"))
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

/// Settings of this instance. Several instances can share a database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSettings {
    /// The roles of this instance.
    pub roles: Vec<InstanceRole>,
    /// The maximum difference from the database's clock at which the instance is ready.
    pub max_clock_skew_ms: u64,
}

impl InstanceSettings {
    pub(crate) fn is(&self, role: InstanceRole) -> bool {
        self.roles.contains(&role)
    }

    pub(crate) fn max_clock_skew(&self) -> Duration {
        Duration::from_millis(self.max_clock_skew_ms)
    }

    pub(super) fn validate(&self) -> Result<()> {
        require(
            !self.roles.is_empty(),
            "instance.roles",
            "must name at least one of api, worker, relay and consumer",
        )?;
        require(self.max_clock_skew_ms >= 1000, "instance.max_clock_skew_ms", "must be at least 1000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_parse_by_name_and_other_names_are_rejected() {
        for role in InstanceRole::ALL {
            assert_eq!(role.to_string().parse::<InstanceRole>().unwrap(), role);
        }
        assert!(" worker".parse::<InstanceRole>().is_ok());
        for text in ["", "Api", "api,worker"] {
            assert!(text.parse::<InstanceRole>().is_err(), "{text}");
        }
    }
}
