//! `country_specific_data`: free JSON, within bounds.
//!
//! It is stored as `jsonb`, which holds no NUL character, and read by people, who need no book. The members that a
//! document tells are Aval's own. `birth_date` is one of them to clients alone: it is kept apart, sealed, and put back when
//! one application is read.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::countries::DocumentedPerson;
use crate::domain::members::Refusal;
use crate::domain::personal_data::BirthDate;
use crate::error::{Error, Result};

/// Most bytes of the data, as JSON.
pub(super) const MAX_BYTES: usize = 16 * 1024;
/// Deepest nesting, the data itself being the first level.
const MAX_DEPTH: usize = 8;

pub(super) const BIRTH_DATE: &str = "birth_date";
const SEX: &str = "sex";

/// The members that a document may tell.
pub(super) const TOLD_BY_DOCUMENT: [&str; 2] = [BIRTH_DATE, SEX];

/// Reads the data.
///
/// # Errors
/// A refusal of anything but an object within the bounds.
pub(super) fn read(raw: &RawValue) -> Result<Map<String, Value>, Refusal> {
    let text = raw.get();
    if !text.starts_with('{') {
        return Err(("bad_type", "must be an object".to_owned()));
    }
    if text.len() > MAX_BYTES {
        return Err(("too_large", format!("must be at most {MAX_BYTES} bytes of JSON")));
    }
    let unreadable = || ("bad_value", "holds a number or a text that cannot be stored".to_owned());
    let data: Map<String, Value> = serde_json::from_str(text).ok().ok_or_else(unreadable)?;
    check_object(&data, 1)?;
    Ok(data)
}

fn check_object(object: &Map<String, Value>, depth: usize) -> Result<(), Refusal> {
    check_depth(depth)?;
    object.iter().try_for_each(|(name, value)| {
        check_text(name)?;
        check(value, depth)
    })
}

fn check(value: &Value, depth: usize) -> Result<(), Refusal> {
    match value {
        Value::Object(object) => check_object(object, depth + 1),
        Value::Array(items) => {
            check_depth(depth + 1)?;
            items.iter().try_for_each(|item| check(item, depth + 1))
        }
        Value::String(text) => check_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn check_depth(depth: usize) -> Result<(), Refusal> {
    let refusal = || ("too_deep", format!("must be nested at most {MAX_DEPTH} levels deep"));
    if depth > MAX_DEPTH { Err(refusal()) } else { Ok(()) }
}

fn check_text(text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        return Err(("nul_character", "must not hold the NUL character".to_owned()));
    }
    Ok(())
}

/// Reads the data of a new application, and the birth date in it apart from the rest.
///
/// # Errors
/// As [`read`], and for a birth date that is no date.
pub(super) fn read_new(raw: &RawValue) -> Result<(Map<String, Value>, Option<BirthDate>), Refusal> {
    let mut data = read(raw)?;
    let refusal = || ("bad_date", format!("{BIRTH_DATE} must be a date such as 1980-01-31"));
    let birth_date = match data.remove(BIRTH_DATE) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(BirthDate::parse(&text).ok_or_else(refusal)?),
        Some(_) => return Err(refusal()),
    };
    Ok((data, birth_date))
}

/// Adds what the document tells beside the birth date, over whatever the client said.
pub(super) fn add_person(data: &mut Map<String, Value>, person: DocumentedPerson) -> Result<()> {
    data.insert(SEX.to_owned(), serde_json::to_value(person.sex).map_err(Error::internal)?);
    Ok(())
}

/// The data as a client sees them who may read the application.
pub(super) fn with_birth_date(
    mut data: Map<String, Value>,
    birth_date: Option<&BirthDate>,
) -> Map<String, Value> {
    if let Some(birth_date) = birth_date {
        data.insert(BIRTH_DATE.to_owned(), Value::from(birth_date.reveal()));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(json: &str) -> Option<&'static str> {
        read(&RawValue::from_string(json.to_owned()).unwrap()).err().map(|(code, _)| code)
    }

    #[test]
    fn the_data_is_an_object_within_its_bounds() {
        let nested =
            |levels: usize| format!("{}{{}}{}", "{\"a\":".repeat(levels - 1), "}".repeat(levels - 1));
        for (json, expected) in [
            ("{}", None),
            (r#"{"a": [1, -2.5e3, null, {"b": "é"}]}"#, None),
            (&nested(8), None),
            (&nested(9), Some("too_deep")),
            (r#"{"a": [[[[[[[[1]]]]]]]]}"#, Some("too_deep")),
            ("[]", Some("bad_type")),
            ("\"{\"", Some("bad_type")),
            ("12", Some("bad_type")),
            (r#"{"a": "x\u0000"}"#, Some("nul_character")),
            (r#"{"a": [{"\u0000": 1}]}"#, Some("nul_character")),
            (r#"{"a": 1e999}"#, Some("bad_value")),
            (r#"{"a": "\ud800"}"#, Some("bad_value")),
            (&format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_BYTES)), Some("too_large")),
        ] {
            assert_eq!(code(json), expected, "{json:.60}");
        }
    }

    #[test]
    fn a_birth_date_is_taken_out_and_put_back() {
        let read = |json: &str| read_new(&RawValue::from_string(json.to_owned()).unwrap());
        let (data, birth_date) = read(r#"{"a": 1, "birth_date": "2001-02-03"}"#).unwrap();
        assert_eq!(Value::Object(data.clone()), serde_json::json!({"a": 1}));
        let whole = Value::Object(with_birth_date(data, birth_date.as_ref()));
        assert_eq!(whole, serde_json::json!({"a": 1, "birth_date": "2001-02-03"}));
        let (data, birth_date) = read(r#"{"birth_date": null}"#).unwrap();
        assert!(data.is_empty() && birth_date.is_none());
        assert!(with_birth_date(data, None).is_empty());
        for bad in [r#""2001-02-30""#, "20010203", r#"["2001-02-03"]"#, r#""""#] {
            assert_eq!(read(&format!(r#"{{"birth_date": {bad}}}"#)).unwrap_err().0, "bad_date", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_value_is_kept_or_refused(text in any::<String>()) {
            let json = serde_json::json!({ "a": text }).to_string();
            prop_assert_eq!(code(&json).is_some(), text.contains('\0'));
        }
    }
}
