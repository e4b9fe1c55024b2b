//! Parses JSON without rounding numbers, and detects duplicate names.
//!
//! Amounts must be parsed from the text that was sent, and a duplicate name must not silently replace a value. Therefore
//! an object is first read into [`Members`], whose values are still text. Its values are then parsed one by one. A value
//! that is not accepted results in a [`Refusal`], which never quotes the value.

mod exact;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::exact::exact_object;
use crate::domain::money::{Money, MoneyError, exact_text};

/// Why a value is refused: a stable code, and a text such as `must be a string`.
pub type Refusal = (&'static str, String);

/// The refusal of a value whose type is not `expected`.
pub fn bad_type(expected: &str) -> Refusal {
    ("bad_type", format!("must be {expected}"))
}

/// Parses an amount, which may be zero.
///
/// # Errors
/// As [`Money::parse`].
pub fn money(raw: &RawValue) -> Result<Money, Refusal> {
    Money::parse(exact_text(raw)).map_err(refuse_amount)
}

/// Parses an amount above zero.
///
/// # Errors
/// As [`Money::parse_positive`].
pub fn positive_money(raw: &RawValue) -> Result<Money, Refusal> {
    Money::parse_positive(exact_text(raw)).map_err(refuse_amount)
}

/// The refusal of a string that is not an amount.
pub fn refuse_amount(error: MoneyError) -> Refusal {
    (error.code(), error.to_string())
}

/// Parses a whole number; `None` if it has a fraction or an exponent, or does not fit in 64 bits.
///
/// # Errors
/// `bad_type` if it is not a number.
pub fn whole_number(raw: &RawValue) -> Result<Option<i64>, Refusal> {
    if !raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(bad_type("a whole number"));
    }
    Ok(raw.get().parse().ok())
}

/// Parses a string.
///
/// # Errors
/// `bad_type` if it is not a string or contains an unpaired surrogate.
pub fn string(raw: &RawValue) -> Result<String, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("a string"))
}

/// Parses `true` or `false`.
///
/// # Errors
/// `bad_type` for anything else.
pub fn boolean(raw: &RawValue) -> Result<bool, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("true or false"))
}

/// Parses an object.
///
/// # Errors
/// `bad_type` for anything else.
pub fn object(raw: &RawValue) -> Result<Members<'_>, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("an object"))
}

/// The members of a JSON object, in order, each as exact text.
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl fmt::Debug for Members<'_> {
    /// Omits names and values: they may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Members({})", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Members<'a> {
    /// The members, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_ref(), *raw))
    }

    /// The first member with this name.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.iter().find(|(member, _)| *member == name).map(|(_, raw)| raw)
    }

    /// Removes the members with this name and returns their values.
    pub fn take(&mut self, name: &str) -> Vec<&'a RawValue> {
        self.0.extract_if(.., |(member, _)| member == name).map(|(_, raw)| raw).collect()
    }

    /// Whether a name occurs more than once.
    pub fn has_duplicates(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.0.len());
        self.0.iter().any(|(name, _)| !seen.insert(name))
    }
}

/// The step of a JSON Pointer (RFC 6901) to the member `name`: a slash and the escaped name.
pub fn pointer_step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
