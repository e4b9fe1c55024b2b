//! `[cors]`: whose pages may call the API from a browser.

use serde::Deserialize;

use super::elsewhere::is_plaintext_to_elsewhere;
use super::{Environment, require};
use crate::error::Result;

/// Cross-origin requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins as browsers write them: `https://console.example`, lower-case, with a port where it is not the scheme's own.
    pub allowed_origins: Vec<String>,
    /// How long a browser may remember the answer to a preflight.
    pub max_age_seconds: usize,
}

impl CorsSettings {
    pub(super) fn validate(&self) -> Result<()> {
        for origin in &self.allowed_origins {
            require(
                is_origin(origin),
                "cors.allowed_origins",
                &format!(
                    "has {origin:?}, which is no origin such as \"https://console.example\" (\"*\" is not offered)"
                ),
            )?;
        }
        Ok(())
    }

    /// Refuses in production pages that somebody on the way can change.
    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        let is_open = |origin: &String| is_plaintext_to_elsewhere(origin);
        require(
            environment == Environment::Development || !self.allowed_origins.iter().any(is_open),
            "cors.allowed_origins",
            "allows pages that come in the clear from another machine: use https:// origins",
        )
    }
}

/// Scheme, host and perhaps a port (RFC 6454, section 6.2), nothing behind them.
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
    fn an_origin_is_a_scheme_and_a_host_and_nothing_more() {
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
