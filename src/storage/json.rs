//! Reading `jsonb`.
//!
//! PostgreSQL stores numbers of any size and precision. Aval never stores a number that it cannot read, but plain SQL
//! can. Such a number must not make its row unreadable.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::Jsonb;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::Members;

/// The version byte that precedes the text in the binary format of `jsonb`.
const VERSION: u8 = 1;

/// A `jsonb` value. A number outside the range of a float is read as a string of its digits.
#[derive(Debug, Clone, PartialEq, FromSqlRow)]
pub struct StoredJson(pub Value);

impl FromSql<Jsonb, Pg> for StoredJson {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes().split_first() {
            Some((&VERSION, text)) => Ok(Self(read(text)?)),
            _ => Err("jsonb of an unknown version".into()),
        }
    }
}

/// A `jsonb` value in PostgreSQL's text form.
#[derive(Debug, FromSqlRow)]
pub(super) struct StoredText(pub(super) Box<RawValue>);

impl FromSql<Jsonb, Pg> for StoredText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes().split_first() {
            Some((&VERSION, text)) => Ok(Self(RawValue::from_string(String::from_utf8(text.to_vec())?)?)),
            _ => Err("jsonb of an unknown version".into()),
        }
    }
}

impl From<StoredJson> for Value {
    fn from(stored: StoredJson) -> Self {
        stored.0
    }
}

fn read(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).or_else(|_out_of_range| read_by_member(serde_json::from_slice(text)?))
}

/// Reads a value member by member, so only the numbers that are out of range become strings.
fn read_by_member(raw: &RawValue) -> serde_json::Result<Value> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text)?;
            members.iter().map(|(name, value)| Ok((name.to_owned(), read_by_member(value)?))).collect()
        }
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text)?.into_iter().map(read_by_member).collect(),
        _ => Ok(serde_json::from_str(text).unwrap_or_else(|_out_of_range| Value::from(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_numbers_out_of_range_are_read_as_strings() {
        let huge = "9".repeat(400);
        let text = format!(r#"{{"a": [1, {huge}, {{"b": -{huge}}}], "c": "x\"y", "d": null, "e": 1.5}}"#);
        let expected = json!({"a": [1, huge, {"b": format!("-{huge}")}], "c": "x\"y", "d": null, "e": 1.5});
        assert_eq!(read(text.as_bytes()).unwrap(), expected);
        assert_eq!(read(b"[1.5]").unwrap(), json!([1.5]));
        assert!(read(b"{").is_err());
    }
}
