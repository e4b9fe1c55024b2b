//! A canonical text for a JSON value, independent of how it was written.
//!
//! Two bodies are equal if their values are: the order of members, white space, escapes and number notation do not
//! matter. `15000.0` and `1.5e4` are the same number; `15000` and `"15000"` are different values.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The canonical text of a body's value, or the body itself if it is not JSON.
pub(super) fn canonical(body: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(body.len());
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(value) => {
            write_value(value.get(), &mut text);
            text.into_bytes()
        }
        Err(_) => body.to_vec(),
    }
}

fn write_value(value: &str, text: &mut String) {
    match value.as_bytes().first() {
        Some(b'{') => write_object(value, text),
        Some(b'[') => write_array(value, text),
        Some(b'"') => text.push_str(&string(value).unwrap_or_else(|| value.to_owned())),
        Some(b'-' | b'0'..=b'9') => text.push_str(&number(value).unwrap_or_else(|| value.to_owned())),
        _ => text.push_str(value),
    }
}

fn write_object(value: &str, text: &mut String) {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(value) else {
        return text.push_str(value);
    };
    text.push('{');
    for (name, member) in members {
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        write_value(member.get(), text);
        text.push(',');
    }
    text.push('}');
}

fn write_array(value: &str, text: &mut String) {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) else { return text.push_str(value) };
    text.push('[');
    for item in items {
        write_value(item.get(), text);
        text.push(',');
    }
    text.push(']');
}

/// A string with canonical escapes; `None` if it contains an unpaired surrogate.
fn string(value: &str) -> Option<String> {
    let decoded: String = serde_json::from_str(value).ok()?;
    Some(serde_json::Value::from(decoded).to_string())
}

/// A number as its digits without leading and trailing zeros, and an exponent; `None` if the exponent exceeds 64 bits.
fn number(value: &str) -> Option<String> {
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |digits| ("-", digits));
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let shift = i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
    Some(format!("{sign}{significant}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn same(one: &str, other: &str) -> bool {
        canonical(one.as_bytes()) == canonical(other.as_bytes())
    }

    #[test]
    fn equal_values_have_the_same_canonical_text() {
        for (one, other) in [
            (r#"{"a": 1, "b": [2, null]}"#, r#"{ "b":[2,null],"a":1 }"#),
            (r#"{"a": {"x": 1, "y": 2}}"#, r#"{"a": {"y": 2, "x": 1}}"#),
            (r#"{"a": "é/"}"#, r#"{"a": "\u00e9\/"}"#),
            (r#"{"\u0061": 1}"#, r#"{"a": 1}"#),
            ("15000.00", "15000"),
            ("1.5e4", "15000"),
            ("1.5E+4", "1.50e04"),
            ("0.001", "1e-3"),
            ("-0", "0.0e5"),
            ("123456789012345678901234567890.5", "1234567890123456789012345678905e-1"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn different_values_have_different_canonical_texts() {
        for (one, other) in [
            ("15000", "\"15000\""),
            ("1", "10"),
            ("1", "-1"),
            ("18446744073709551616", "18446744073709551617"),
            ("0.1", "0.10000000000000001"),
            ("[1,2]", "[2,1]"),
            ("[1,[2]]", "[1,2]"),
            ("[\"a,b\"]", "[\"a\",\"b\"]"),
            (r#"{"a": null}"#, "{}"),
            ("null", "false"),
            ("\"\\ud800\"", "\"\\ud801\""),
            ("1e99999999999999999999", "1e99999999999999999998"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = canonical(&body);
        }

        #[test]
        fn equal_numbers_have_the_same_canonical_text(digits in -1_000_000_i64..1_000_000, shift in 0_u32..6) {
            let scaled = format!("{}e{}", digits * 10_i64.pow(shift), -i64::from(shift));
            prop_assert!(same(&digits.to_string(), &scaled));
            prop_assert!(!same(&digits.to_string(), &(digits + 1).to_string()));
        }

        #[test]
        fn white_space_is_ignored(text in "[a-z ]{0,8}") {
            let value: Value = serde_json::json!({"a": [text, 1], "b": {}});
            prop_assert!(same(&value.to_string(), &serde_json::to_string_pretty(&value).unwrap()));
        }
    }
}
