//! `[cors]`: origins that may call the API from a browser.

use serde::Deserialize;

use super::remote::is_unencrypted_to_remote;
use super::{Environment, require};
use crate::error::Result;

/// Origins accepted in cross-origin requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins as browsers serialize them: lower case, with a port only if it is not the scheme's default
    /// (`https://console.example`).
    pub allowed_origins: Vec<String>,
    /// How long a browser may cache the response to a preflight request.
    pub max_age_seconds: usize,
}

impl CorsSettings {
    pub(super) fn validate(&self) -> Result<()> {
        for origin in &self.allowed_origins {
            require(
                is_origin(origin),
                "cors.allowed_origins",
                &format!(
                    "has {origin:?}, which is not an origin such as \"https://console.example\" (\"*\" is not supported)"
                ),
            )?;
        }
        Ok(())
    }

    /// In production, rejects origins that are served unencrypted from another machine, because an attacker on the network
    /// could change their pages.
    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        let is_open = |origin: &String| is_unencrypted_to_remote(origin);
        require(
            !environment.is_production() || !self.allowed_origins.iter().any(is_open),
            "cors.allowed_origins",
            "allows an unencrypted origin on another machine: use https://",
        )
    }
}

/// Whether the text is a serialized origin: a scheme, a host and an optional port (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some(host) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    !host.is_empty()
        && host.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_an_optional_port() {
        for good in ["https://console.example", "http://localhost:5173", "https://[::1]:8443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in
            ["*", "", "console.example", "https://", "https://a/", "https://A.example", "ftp://a", "null"]
        {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
