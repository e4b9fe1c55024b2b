//! JSON values that are stored without loss.
//!
//! A value is converted to `serde_json::Value`, which represents numbers as 64-bit integers or floats, and is stored as
//! `jsonb`, which writes numbers without an exponent. A number that one of these conversions would change is rejected.
//! A duplicate name is rejected too, because only one of its values could be stored.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Members, Refusal, object, string};

/// The maximum number of significant digits of a number that is not a 64-bit integer. A 64-bit float preserves any 15
/// digits.
const MAX_DIGITS: usize = 15;
/// The largest exponent of a power of ten that a 64-bit float represents exactly.
const MAX_EXPONENT: i64 = 22;

/// Parses an object whose numbers, strings and names can be stored exactly, with at most `depth` levels of nesting.
///
/// # Errors
/// A refusal if it is not an object or cannot be stored exactly.
pub fn exact_object(raw: &RawValue, depth: usize) -> Result<Map<String, Value>, Refusal> {
    let members: Members<'_> = object(raw)?;
    let depth = descend(depth)?;
    let mut kept = Map::new();
    for (name, value) in members.iter() {
        let name = check_text(name.to_owned())?;
        if kept.insert(name, exact(value, depth)?).is_some() {
            return Err(("duplicate_field", "contains a name more than once".to_owned()));
        }
    }
    Ok(kept)
}

fn exact(raw: &RawValue, depth: usize) -> Result<Value, Refusal> {
    match raw.get().as_bytes().first() {
        Some(b'{') => exact_object(raw, depth).map(Value::Object),
        Some(b'[') => {
            let depth = descend(depth)?;
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok().ok_or_else(unreadable)?;
            items.into_iter().map(|item| exact(item, depth)).collect()
        }
        Some(b'"') => check_text(string(raw).ok().ok_or_else(unreadable)?).map(Value::String),
        Some(b'-' | b'0'..=b'9') => exact_number(raw),
        _ => serde_json::from_str(raw.get()).ok().ok_or_else(unreadable),
    }
}

/// The levels of nesting that remain inside an object or array.
fn descend(depth: usize) -> Result<usize, Refusal> {
    depth.checked_sub(1).ok_or_else(|| ("too_deep", "is nested too deeply".to_owned()))
}

fn unreadable() -> Refusal {
    ("bad_value", "contains a value that cannot be stored".to_owned())
}

/// `jsonb` cannot store the NUL character.
fn check_text(text: String) -> Result<String, Refusal> {
    if text.contains('\0') {
        return Err(("nul_character", "must not contain the NUL character".to_owned()));
    }
    Ok(text)
}

/// Accepts a 64-bit integer, or a number with so few digits that converting it to a float and back preserves it.
fn exact_number(raw: &RawValue) -> Result<Value, Refusal> {
    let text = raw.get();
    let is_integer = !text.contains(['.', 'e', 'E']);
    let number = serde_json::from_str(text).ok().filter(|number: &Value| {
        is_integer && (number.is_i64() || number.is_u64()) || is_exact_as_float(text)
    });
    number.ok_or_else(|| {
        let detail = format!(
            "contains a number with more than {MAX_DIGITS} digits or out of range: send it as a string"
        );
        ("inexact_number", detail)
    })
}

fn is_exact_as_float(text: &str) -> bool {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let all = [whole.trim_start_matches('-'), fraction].concat();
    let significant = all.trim_matches('0');
    if significant.is_empty() {
        return true;
    }
    let trailing = all.len() - all.trim_end_matches('0').len();
    let scale = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let power = exponent.saturating_sub(scale(fraction.len())).saturating_add(scale(trailing));
    significant.len() <= MAX_DIGITS && (-MAX_EXPONENT..=MAX_EXPONENT).contains(&power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(json: &str) -> Result<Map<String, Value>, &'static str> {
        exact_object(&RawValue::from_string(json.to_owned()).unwrap(), 8).map_err(|(code, _)| code)
    }

    #[test]
    fn a_value_is_stored_exactly_or_rejected() {
        for (value, code) in [
            ("1.7976931348623157e308", "inexact_number"),
            ("18446744073709551616", "inexact_number"),
            ("-9223372036854775809", "inexact_number"),
            ("31.245270191439438", "inexact_number"),
            ("1e-400", "inexact_number"),
            ("1e400", "inexact_number"),
            ("1e99999999999999999999", "inexact_number"),
            ("1e23", "inexact_number"),
            ("0.1234567890123456", "inexact_number"),
            ("[[1e-400]]", "inexact_number"),
            ("{\"rent\": 1, \"rent\": 2}", "duplicate_field"),
            ("[{\"a\": {\"b\": 1, \"\\u0062\": 1}}]", "duplicate_field"),
            ("\"\\ud800\"", "bad_value"),
            ("\"\\u0000\"", "nul_character"),
            ("{\"\\u0000\": 1}", "nul_character"),
            ("[[[[[[[[1]]]]]]]]", "too_deep"),
        ] {
            assert_eq!(read(&format!("{{\"a\": {value}}}")), Err(code), "{value}");
        }
        let kept = r#"{"a": [18446744073709551615, -9223372036854775808, 1e22, 0.5, 123456789012345.0, -0, 0e999, 1.50e2, null]}"#;
        let expected = json!([u64::MAX, i64::MIN, 1e22, 0.5, 123_456_789_012_345.0, -0.0, 0.0, 150.0, null]);
        assert_eq!(read(kept).unwrap()["a"], expected);
        assert_eq!(read("[]"), Err("bad_type"));
    }

    proptest! {
        #[test]
        fn short_decimals_survive_a_round_trip(digits in 1_u64..1_000_000_000_000_000, scale in 0_usize..22) {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            let text = format!("{whole}.{fraction}0");
            let kept = read(&format!("{{\"a\": {text}}}")).unwrap()["a"].to_string();
            let read_again: f64 = kept.parse().unwrap();
            prop_assert_eq!(read_again, text.parse::<f64>().unwrap());
        }

        #[test]
        fn no_text_causes_a_panic(text in any::<String>()) {
            let json = json!({ "a": text }).to_string();
            prop_assert_eq!(read(&json).is_err(), text.contains('\0'));
        }
    }
}
