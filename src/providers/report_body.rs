//! What the six formats have in common once a body has arrived: its bounds, its text, and the values that may
//! leave it.
//!
//! Bodies come from outside and are believed only as far as they are checked. An error text names the place and
//! the rule, never the value: a bureau that puts a name where an amount belongs must not get that name into a log.
//! For the same reason the messages of serde are not passed on, since they quote what they found.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::MalformedReport;
use crate::domain::banking::{BankingData, CreditScore};
use crate::domain::money::Money;

/// The largest body that is read, in bytes. A report is under 2 KiB; this leaves room for a bureau that adds to
/// its format, and none for one that floods.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The longest report reference that is kept, in characters.
const MAX_REFERENCE_LEN: usize = 40;

/// A malformed report, with the place or the rule.
pub(super) fn malformed(what: impl Into<String>) -> MalformedReport {
    MalformedReport(what.into())
}

/// The body as text: not empty, not over [`MAX_BYTES`], UTF-8.
pub(super) fn text(body: &[u8]) -> Result<&str, MalformedReport> {
    if body.len() > MAX_BYTES {
        return Err(malformed(format!("body of {} bytes, over the limit of {MAX_BYTES}", body.len())));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    if text.trim().is_empty() { Err(malformed("empty body")) } else { Ok(text) }
}

/// Reads JSON of the promised structure.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, MalformedReport> {
    serde_json::from_str(text(body)?).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "not JSON",
            serde_json::error::Category::Data => "not the promised structure",
            serde_json::error::Category::Eof => "JSON that ends early",
        };
        malformed(format!("{kind}, at line {} column {}", error.line(), error.column()))
    })
}

/// Reads XML of the promised structure. `T` is an enum whose one variant is the root element, because quick-xml
/// looks at the root's name for nothing else.
pub(super) fn xml<T: DeserializeOwned>(body: &[u8]) -> Result<T, MalformedReport> {
    let text = text(body)?.trim_end();
    let mut reader = quick_xml::de::Deserializer::from_str(text);
    let document = T::deserialize(&mut reader).map_err(|error| xml_error(&error))?;
    if reader.is_empty() { Ok(document) } else { Err(malformed("something after the XML's root element")) }
}

/// The text of an XML element or attribute, without the white space around it: `<score> 640 </score>` may be broken over
/// lines, and XML Schema collapses white space before it reads a number (Part 2, section 4.3.6).
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
        _ => "not the promised elements",
    })
}

/// The bytes of a request in JSON. The requests are plain structures of text, which serde_json cannot fail on.
pub(super) fn json_request(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).unwrap_or_default()
}

/// The bytes of a request in XML, with its declaration. As in [`json_request`], nothing here can fail.
pub(super) fn xml_request(request: &impl Serialize) -> Vec<u8> {
    let root = quick_xml::se::to_string(request).unwrap_or_default();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{root}").into_bytes()
}

/// An amount as plain decimal text (`1234.56`), where there is one.
pub(super) fn amount(field: &str, text: Option<&str>) -> Result<Option<Money>, MalformedReport> {
    text.map(|text| Money::parse(text).map_err(|error| malformed(format!("{field} {error}")))).transpose()
}

/// A score that the bureau gives on the common scale, where there is one.
pub(super) fn common_score(field: &str, score: Option<i64>) -> Result<Option<CreditScore>, MalformedReport> {
    score
        .map(|score| CreditScore::new(score).ok_or_else(|| malformed(format!("{field} is not 300 to 850"))))
        .transpose()
}

/// A whole number as text, where there is one.
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

/// One of two words for yes and no, where there is one.
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

/// Refuses amounts in another currency than the country's.
pub(super) fn check_currency(field: &str, found: &str, expected: &str) -> Result<(), MalformedReport> {
    if found == expected { Ok(()) } else { Err(malformed(format!("{field} is not {expected}"))) }
}

/// Puts what is worth keeping beside the figures into the report: the bureau's reference, for asking it about
/// this report, and the number of accounts behind the figures. Neither is personal.
///
/// # Errors
/// When the reference is empty, over 40 characters, or anything but letters, digits and `-`.
pub(super) fn add_extras(
    data: &mut BankingData,
    reference: &str,
    accounts: Option<u16>,
) -> Result<(), MalformedReport> {
    let harmless = reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if reference.is_empty() || reference.len() > MAX_REFERENCE_LEN || !harmless {
        return Err(malformed("the report's reference is not 1 to 40 letters, digits and hyphens"));
    }
    data.additional_data.insert("report_reference".to_owned(), json!(reference));
    if let Some(accounts) = accounts {
        data.additional_data.insert("number_of_accounts".to_owned(), Value::from(accounts));
    }
    Ok(())
}
