//! Parsing functions shared by all bureau formats.
//!
//! Bodies are untrusted. Error texts state the position and the rule but never quote a value: a bureau could send a
//! name in place of an amount, and that name must not get into the log. For the same reason, the messages of serde,
//! which quote values, are not used.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::MalformedReport;
use crate::domain::banking::{BankingData, CreditScore};
use crate::domain::money::Money;

/// The maximum size of a body. Reports are below 2 KiB; the margin allows for additions to the format.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The maximum length of a report's reference, in characters.
const MAX_REFERENCE_LEN: usize = 40;

/// A malformed report, described by the position or the rule.
pub(super) fn malformed(what: impl Into<String>) -> MalformedReport {
    MalformedReport(what.into())
}

/// The body as text: not empty, at most [`MAX_BYTES`] long, valid UTF-8.
pub(super) fn text(body: &[u8]) -> Result<&str, MalformedReport> {
    if body.len() > MAX_BYTES {
        return Err(malformed(format!("body of {} bytes, over the limit of {MAX_BYTES}", body.len())));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    if text.trim().is_empty() { Err(malformed("empty body")) } else { Ok(text) }
}

/// Parses JSON.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, MalformedReport> {
    serde_json::from_str(text(body)?).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "not JSON",
            serde_json::error::Category::Data => "not the expected structure",
            serde_json::error::Category::Eof => "JSON that ends early",
        };
        malformed(format!("{kind}, at line {} column {}", error.line(), error.column()))
    })
}

/// Parses XML. `T` must be an enum whose single variant is the root element: only then does quick-xml check its name.
pub(super) fn xml<T: DeserializeOwned>(body: &[u8]) -> Result<T, MalformedReport> {
    let text = text(body)?.trim_end();
    let mut reader = quick_xml::de::Deserializer::from_str(text);
    let document = T::deserialize(&mut reader).map_err(|error| xml_error(&error))?;
    if reader.is_empty() { Ok(document) } else { Err(malformed("content after the root element of the XML")) }
}

/// The text of an XML element or attribute without surrounding white space. `<score> 640 </score>` may contain line
/// breaks, and XML Schema collapses white space before parsing a number (Part 2, section 4.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct XmlText(String);

impl<'de> Deserialize<'de> for XmlText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.trim_matches([' ', '\t', '\r', '\n']).to_owned()))
    }
}

impl Deref for XmlText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

fn xml_error(error: &quick_xml::DeError) -> MalformedReport {
    malformed(match error {
        quick_xml::DeError::InvalidXml(_) => "not well-formed XML",
        quick_xml::DeError::UnexpectedEof => "XML that ends early",
        _ => "not the expected elements",
    })
}

/// A request as JSON. Requests consist of text only, so serialization cannot fail.
pub(super) fn json_request(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).unwrap_or_default()
}

/// A request as XML with its declaration. As in [`json_request`], serialization cannot fail.
pub(super) fn xml_request(request: &impl Serialize) -> Vec<u8> {
    let root = quick_xml::se::to_string(request).unwrap_or_default();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{root}").into_bytes()
}

/// Parses an optional amount, a plain decimal such as `1234.56`.
pub(super) fn amount(field: &str, text: Option<&str>) -> Result<Option<Money>, MalformedReport> {
    text.map(|text| Money::parse(text).map_err(|error| malformed(format!("{field} {error}")))).transpose()
}

/// Checks the range of an optional score on the common scale.
pub(super) fn common_score(field: &str, score: Option<i64>) -> Result<Option<CreditScore>, MalformedReport> {
    score
        .map(|score| CreditScore::new(score).ok_or_else(|| malformed(format!("{field} is not 300 to 850"))))
        .transpose()
}

/// Parses an optional whole number.
pub(super) fn whole<N: std::str::FromStr>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<N>, MalformedReport> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    text.map(|text| number(text).ok_or_else(|| malformed(format!("{field} is not a whole number"))))
        .transpose()
}

/// Parses an optional yes or no.
pub(super) fn yes_no(
    field: &str,
    text: Option<&str>,
    (yes, no): (&str, &str),
) -> Result<Option<bool>, MalformedReport> {
    text.map(|text| match text {
        _ if text == yes => Ok(true),
        _ if text == no => Ok(false),
        _ => Err(malformed(format!("{field} is neither {yes} nor {no}"))),
    })
    .transpose()
}

/// Rejects amounts that are not in the country's currency.
pub(super) fn check_currency(field: &str, found: &str, expected: &str) -> Result<(), MalformedReport> {
    if found == expected { Ok(()) } else { Err(malformed(format!("{field} is not {expected}"))) }
}

/// Adds the number of accounts, and the report's reference, by which the bureau can find the report. Neither is personal.
///
/// # Errors
/// If the reference is empty, longer than 40 characters, or contains anything but letters, digits and `-`.
pub(super) fn add_extras(
    data: &mut BankingData,
    reference: &str,
    accounts: Option<u16>,
) -> Result<(), MalformedReport> {
    let is_allowed = reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if reference.is_empty() || reference.len() > MAX_REFERENCE_LEN || !is_allowed {
        return Err(malformed("the report's reference is not 1 to 40 letters, digits and hyphens"));
    }
    data.additional_data.insert("report_reference".to_owned(), json!(reference));
    if let Some(accounts) = accounts {
        data.additional_data.insert("number_of_accounts".to_owned(), Value::from(accounts));
    }
    Ok(())
}
