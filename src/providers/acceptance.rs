//! The 202 response of an asynchronous bureau, which contains the reference of its later report.
//!
//! The bureaus' reports differ, but the 202 response and the later webhook have the same format for all of them
//! (docs/specification.md, sections 4 and 6).

use serde::{Deserialize, Serialize};

use super::MalformedReport;
use super::report_body::{json, malformed};
use crate::domain::confirmation::parse_reference;

/// The body of a 202 response.
#[derive(Debug, Serialize, Deserialize)]
struct Acceptance {
    provider_reference: String,
}

/// Parses the body of a 202 response and returns the reference. Other members are ignored.
///
/// # Errors
/// [`MalformedReport`] if there is no valid reference.
pub fn parse(body: &[u8]) -> Result<String, MalformedReport> {
    let acceptance: Acceptance = json(body)?;
    let refusal = || malformed("the reference is not 1 to 128 visible ASCII characters");
    parse_reference(&acceptance.provider_reference).ok_or_else(refusal)
}

/// The body of a 202 response.
pub fn write(provider_reference: &str) -> String {
    serde_json::json!({ "provider_reference": provider_reference }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_requires_a_valid_reference() {
        assert_eq!(parse(write("ES-1").as_bytes()).unwrap(), "ES-1");
        assert_eq!(parse(br#"{"provider_reference": "a", "eta": 60}"#).unwrap(), "a");
        for bad in ["", "{}", r#"{"provider_reference": ""}"#, r#"{"provider_reference": "a b"}"#, "<a/>"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
