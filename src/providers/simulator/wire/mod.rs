//! The six formats as the bureaus speak them: each reads its adapter's question and writes its own answer.
//!
//! Written apart from the adapters on purpose, from the description in `docs/providers.md`: were both sides to share
//! types, a mistake in them would agree with itself. Only the scales of the scores are shared, which have tests of
//! their own.

mod asnef_cirbe;
mod banco_de_portugal;
mod buro_de_credito;
mod crif;
mod datacredito;
mod serasa;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::record::BureauRecord;
use crate::domain::application::Country;

/// One bureau's side of its format.
pub(super) trait WireFormat: Sync {
    /// The path below the country's base URL that the question is posted to.
    fn path(&self) -> &'static str;

    /// The `Content-Type` of every answer.
    fn content_type(&self) -> &'static str;

    /// The document asked about; `None` when the question is not in the format.
    fn read_document(&self, body: &[u8]) -> Option<String>;

    /// The report.
    fn write_report(&self, record: &BureauRecord) -> String;

    /// The answer that goes with an HTTP status other than 200. `code` is a word in capitals.
    fn write_error(&self, code: &str) -> String;
}

/// The format that `country`'s bureau speaks.
pub(super) fn format_of(country: Country) -> &'static dyn WireFormat {
    match country {
        Country::Es => &asnef_cirbe::Format,
        Country::Pt => &banco_de_portugal::Format,
        Country::It => &crif::Format,
        Country::Mx => &buro_de_credito::Format,
        Country::Co => &datacredito::Format,
        Country::Br => &serasa::Format,
    }
}

/// The text at `pointer` (RFC 6901) in a JSON body.
fn json_text(body: &[u8], pointer: &str) -> Option<String> {
    let question: Value = serde_json::from_slice(body).ok()?;
    Some(question.pointer(pointer)?.as_str()?.to_owned())
}

/// `value` with every member that is null left out, at every depth.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name, without_nulls(member)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// ` name="value"`, or nothing when there is no value. The value needs no escaping: it is a number or a word.
fn attribute(name: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map(|value| format!(" {name}=\"{value}\"")).unwrap_or_default()
}

/// `<name>value</name>`, or nothing when there is no value. As [`attribute`], it escapes nothing.
fn element(name: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map(|value| format!("<{name}>{value}</{name}>")).unwrap_or_default()
}
