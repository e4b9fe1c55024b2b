//! Checks the `properties` of an event without parsing them.
//!
//! They are stored as the text that was sent. The JSON parser has already checked its syntax. What remains is to make sure
//! that PostgreSQL can cast the text to `jsonb` in a query: that type holds neither the character NUL nor half of a surrogate
//! pair, and its numbers are bounded. One pass over the bytes finds all of these.

use serde_json::value::RawValue;

use crate::json::{Refusal, bad_type};

/// The largest `properties`, in bytes.
const MAX_PROPERTIES_BYTES: usize = 8 * 1024;
/// The deepest nesting, the same as for request bodies.
const MAX_DEPTH: usize = 32;
/// The most digits of an exponent. `jsonb` holds numbers of up to 131,072 digits before the point.
const MAX_EXPONENT_DIGITS: usize = 3;

/// Returns the text of an object that can be stored.
///
/// # Errors
/// Why it cannot.
pub fn check(raw: &RawValue) -> Result<&str, Refusal> {
    let text = raw.get();
    if !text.starts_with('{') {
        return Err(bad_type("an object"));
    }
    if text.len() > MAX_PROPERTIES_BYTES {
        return Err(("too_large", format!("must be at most {MAX_PROPERTIES_BYTES} bytes")));
    }
    scan(text.as_bytes())?;
    Ok(text)
}

/// Checks valid JSON, byte by byte.
fn scan(bytes: &[u8]) -> Result<(), Refusal> {
    let (mut depth, mut rest, mut previous) = (0_usize, bytes, 0_u8);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = skip_string(after)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'e' | b'E' if previous.is_ascii_digit() => check_exponent(after)?,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(("too_deep", format!("must not be nested more than {MAX_DEPTH} levels deep")));
        }
        previous = *byte;
    }
    Ok(())
}

/// Checks the string that `rest` begins with, after its opening quote. Returns what follows its closing quote.
fn skip_string(mut rest: &[u8]) -> Result<&[u8], Refusal> {
    loop {
        match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'u', after @ ..] => rest = skip_escape(after)?,
            [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
            [] => return Ok(rest),
        }
    }
}

/// Checks an escaped character, of which `rest` is the part after `\u`. Returns what follows it.
fn skip_escape(rest: &[u8]) -> Result<&[u8], Refusal> {
    let half = || ("bad_value", "must not contain half of a surrogate pair".to_owned());
    let (first, after) = code_unit(rest).ok_or_else(half)?;
    match first {
        0 => Err(("nul_character", "must not contain the character NUL".to_owned())),
        0xD800..=0xDBFF => match after {
            [b'\\', b'u', low @ ..] => {
                let (second, after) = code_unit(low).ok_or_else(half)?;
                if (0xDC00..=0xDFFF).contains(&second) { Ok(after) } else { Err(half()) }
            }
            _ => Err(half()),
        },
        0xDC00..=0xDFFF => Err(half()),
        _ => Ok(after),
    }
}

/// The four hexadecimal digits that `rest` begins with, and what follows them.
fn code_unit(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = rest.split_at_checked(4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}

/// Checks the exponent that `rest` begins with.
fn check_exponent(rest: &[u8]) -> Result<(), Refusal> {
    let digits = match rest {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count <= MAX_EXPONENT_DIGITS {
        return Ok(());
    }
    Err(("bad_value", format!("must not contain an exponent of more than {MAX_EXPONENT_DIGITS} digits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Result<(), &'static str> {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        check(raw).map(drop).map_err(|(code, _)| code)
    }

    #[test]
    fn text_that_jsonb_cannot_hold_is_refused() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(32), "]".repeat(32));
        for (text, expected) in [
            (r#"{"a":"\u0000"}"#, "nul_character"),
            (r#"{"\u0000":1}"#, "nul_character"),
            (r#"{"a":"\ud800"}"#, "bad_value"),
            (r#"{"a":"\ud800\n"}"#, "bad_value"),
            (r#"{"a":"\udc00\ud800"}"#, "bad_value"),
            (r#"{"a":"\ud800\ud800"}"#, "bad_value"),
            (r#"{"a":1e1000}"#, "bad_value"),
            (r#"{"a":[1.5E-9999]}"#, "bad_value"),
            (deep.as_str(), "too_deep"),
            ("[]", "bad_type"),
        ] {
            assert_eq!(code(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn other_text_is_accepted() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(31), "]".repeat(31));
        for text in [
            r#"{"a":"\\u0000"}"#,
            r#"{"a":"\ud83d\ude00 \u00e9 \" \\"}"#,
            r#"{"a":"1e99999","b":true,"c":false}"#,
            r#"{"a":-1.5e+300,"b":1E5}"#,
            deep.as_str(),
            "{ }",
        ] {
            assert_eq!(code(text), Ok(()), "{text}");
        }
    }
}
