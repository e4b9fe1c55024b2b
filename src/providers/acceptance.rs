//! The promise of a bureau in asynchronous mode: a 202 that names the reference under which it will answer.
//!
//! Bureaus differ in their reports; the 202 and the webhook that follows have one form (docs/specification.md 4 and 6).

use serde::{Deserialize, Serialize};

use super::MalformedReport;
use super::report_body::{json, malformed};
use crate::domain::confirmation::parse_reference;

/// The body of a 202.
#[derive(Debug, Serialize, Deserialize)]
struct Promise {
    provider_reference: String,
}

/// Reads the body of a 202: the reference under which the bureau will answer. Other members are left alone.
///
/// # Errors
/// [`MalformedReport`] when there is no acceptable reference.
pub fn parse(body: &[u8]) -> Result<String, MalformedReport> {
    let promise: Promise = json(body)?;
    let refusal = || malformed("the reference is not 1 to 128 visible ASCII characters");
    parse_reference(&promise.provider_reference).ok_or_else(refusal)
}

/// Writes the body of a 202.
pub fn write(provider_reference: &str) -> String {
    serde_json::json!({ "provider_reference": provider_reference }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_names_its_reference_and_one_without_is_malformed() {
        assert_eq!(parse(write("ES-1").as_bytes()).unwrap(), "ES-1");
        assert_eq!(parse(br#"{"provider_reference": "a", "eta": 60}"#).unwrap(), "a");
        for bad in ["", "{}", r#"{"provider_reference": ""}"#, r#"{"provider_reference": "a b"}"#, "<a/>"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
