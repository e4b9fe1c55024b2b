//! The environment that Aval runs in (`AVAL_ENV`).

use crate::error::{Error, Result};

const DEVELOPMENT_TOML: &str = include_str!("../../config/development.toml");
const PRODUCTION_TOML: &str = include_str!("../../config/production.toml");
const TEST_TOML: &str = include_str!("../../config/test.toml");

/// The environment that Aval runs in. Settings that are convenient but unsafe are rejected in production.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine.
    #[default]
    Development,
    /// Automated tests of clients: no rate limits, and no durable commits. Unsafe settings are allowed, as in development.
    Test,
    /// Real applicants.
    Production,
}

impl Environment {
    pub(super) fn parse(name: &str) -> Result<Self> {
        match name {
            "" | "development" => Ok(Self::Development),
            "test" => Ok(Self::Test),
            "production" => Ok(Self::Production),
            other => Err(Error::configuration(format_args!(
                "AVAL_ENV is {other:?} but must be \"development\", \"test\" or \"production\""
            ))),
        }
    }

    /// The value of `AVAL_ENV`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Production => "production",
        }
    }

    /// Whether unsafe settings are rejected.
    pub const fn is_production(self) -> bool {
        match self {
            Self::Production => true,
            Self::Development | Self::Test => false,
        }
    }

    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Development => "development.toml",
            Self::Test => "test.toml",
            Self::Production => "production.toml",
        }
    }

    pub(super) const fn built_in(self) -> &'static str {
        match self {
            Self::Development => DEVELOPMENT_TOML,
            Self::Test => TEST_TOML,
            Self::Production => PRODUCTION_TOML,
        }
    }
}
