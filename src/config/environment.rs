//! The environment that Aval runs in (`AVAL_ENV`).

use crate::error::{Error, Result};

const DEVELOPMENT_TOML: &str = include_str!("../../config/development.toml");
const PRODUCTION_TOML: &str = include_str!("../../config/production.toml");

/// The environment that Aval runs in. Settings that are convenient but unsafe are rejected in
/// production.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine, or a test.
    #[default]
    Development,
    /// Real applicants.
    Production,
}

impl Environment {
    pub(super) fn parse(name: &str) -> Result<Self> {
        match name {
            "" | "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            other => Err(Error::configuration(format_args!(
                "AVAL_ENV is {other:?} but must be \"development\" or \"production\""
            ))),
        }
    }

    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Development => "development.toml",
            Self::Production => "production.toml",
        }
    }

    pub(super) const fn built_in(self) -> &'static str {
        match self {
            Self::Development => DEVELOPMENT_TOML,
            Self::Production => PRODUCTION_TOML,
        }
    }
}
