//! The server side of a bureau's format: parses requests and writes responses.
//!
//! The formats are implemented independently of the adapters, following `docs/providers.md`. If the simulator and the
//! adapters shared types, tests would not detect an error in a type. They only share the score scales, which have tests of
//! their own.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::record::BureauRecord;

/// The server side of one bureau's format.
pub(crate) trait WireFormat: Sync {
    /// The path of requests below the country's base URL.
    fn path(&self) -> &'static str;

    /// The `Content-Type` of every response.
    fn content_type(&self) -> &'static str;

    /// The document in a request; `None` if the request violates the format.
    fn read_document(&self, body: &[u8]) -> Option<String>;

    /// Writes a report.
    fn write_report(&self, record: &BureauRecord) -> String;

    /// Writes the body of a response with a status other than 200. `code` is in capitals.
    fn write_error(&self, code: &str) -> String;
}

/// The string at `pointer` (RFC 6901) in a JSON body.
pub(in crate::providers) fn json_text(body: &[u8], pointer: &str) -> Option<String> {
    let request: Value = serde_json::from_slice(body).ok()?;
    Some(request.pointer(pointer)?.as_str()?.to_owned())
}

/// Removes null members at every depth.
pub(in crate::providers) fn without_nulls(value: Value) -> Value {
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

/// ` name="value"`, or nothing without a value. The value is not escaped: it must be a number or a word.
pub(in crate::providers) fn attribute(name: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map(|value| format!(" {name}=\"{value}\"")).unwrap_or_default()
}

/// `<name>value</name>`, or nothing without a value. The value is not escaped, as in [`attribute`].
pub(in crate::providers) fn element(name: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map(|value| format!("<{name}>{value}</{name}>")).unwrap_or_default()
}
