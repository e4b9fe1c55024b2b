//! Reads the members of a JSON object from their exact text.
//!
//! Amounts must be parsed from the exact text, and clients should get all problems of a request in one answer. An
//! object is therefore first read into [`Members`], each still text. [`Fields`] then takes them one by one and turns
//! each problem into a [`FieldError`] with a JSON pointer. Unknown and duplicate members are problems as well: they are
//! mistakes that would otherwise be ignored silently.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::application::{Country, TermMonths, UnknownCountry};
use super::money::{Money, MoneyError, exact_text};
use crate::error::FieldError;

/// A problem with a value: a stable code and a sentence.
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

fn refuse_amount(error: MoneyError) -> Refusal {
    (error.code(), error.to_string())
}

/// Parses a term in months.
///
/// # Errors
/// `out_of_range` unless it is a whole number from 6 to 84.
pub fn term_months(raw: &RawValue) -> Result<TermMonths, Refusal> {
    let refusal = || ("out_of_range", "must be a whole number from 6 to 84".to_owned());
    whole_number(raw)?.and_then(TermMonths::new).ok_or_else(refusal)
}

/// Parses a country code in upper or lower case.
///
/// # Errors
/// `unknown_country` if the country is not supported.
pub fn country(raw: &RawValue) -> Result<Country, Refusal> {
    let refusal = |error: UnknownCountry| ("unknown_country", format!("is {error}"));
    string(raw)?.parse().map_err(refusal)
}

/// Parses a whole number; `None` if it has a fraction or exceeds 64 bits.
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
    /// In the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_ref(), *raw))
    }

    /// Whether there is a member with this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(member, _)| member == name)
    }

    /// Whether a name occurs more than once.
    pub fn has_duplicates(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.0.len());
        self.0.iter().any(|(name, _)| !seen.insert(name))
    }
}

/// The problems found in a request.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<FieldError>);

/// Most unknown members that are reported, which bounds the size of the answer.
pub const MAX_UNKNOWN_REPORTED: usize = 20;

/// The unread members of an object. Problems are added to `problems`.
pub struct Fields<'a, 'p> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The JSON pointer of the object.
    pointer: &'static str,
    problems: &'p mut Problems,
}

impl fmt::Debug for Fields<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").field("pointer", &self.pointer).finish_non_exhaustive()
    }
}

impl<'a, 'p> Fields<'a, 'p> {
    /// The members of the object at `pointer`, which is empty for the whole body.
    pub fn new(members: Members<'a>, pointer: &'static str, problems: &'p mut Problems) -> Self {
        Self { members: members.0, pointer, problems }
    }

    /// Takes a member that must be present.
    pub fn required<T>(
        &mut self,
        name: &str,
        read: impl Fn(&'a RawValue) -> Result<T, Refusal>,
    ) -> Option<T> {
        let Some(raw) = self.take(name) else {
            self.refuse(name, "required", "is required");
            return None;
        };
        self.read(name, raw, read)
    }

    /// Takes a member that may be absent or `null`.
    pub fn optional<T>(
        &mut self,
        name: &str,
        read: impl Fn(&'a RawValue) -> Result<T, Refusal>,
    ) -> Option<T> {
        let raw = self.take(name)?;
        self.read(name, raw, read)
    }

    /// Takes a member of a JSON Merge Patch that may be absent but not `null`, which would remove it.
    pub fn changed<T>(&mut self, name: &str, read: impl Fn(&'a RawValue) -> Result<T, Refusal>) -> Option<T> {
        self.refuse_removal(name);
        self.optional(name, read)
    }

    /// Reports a member of a JSON Merge Patch that is `null`.
    pub fn refuse_removal(&mut self, name: &str) {
        let is_null = |(member, raw): &(Cow<'_, str>, &RawValue)| member == name && raw.get() == "null";
        if self.members.iter().any(is_null) {
            self.refuse(name, "required", "cannot be removed");
        }
    }

    /// Reports the members that were not taken, up to a limit.
    pub fn refuse_the_rest(&mut self) {
        for (name, _) in std::mem::take(&mut self.members).into_iter().take(MAX_UNKNOWN_REPORTED) {
            self.refuse(&name, "unknown_field", "is not a field of this object");
        }
    }

    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let (found, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.members).into_iter().partition(|(member, _)| member == name);
        self.members = rest;
        if found.len() > 1 {
            self.refuse(name, "duplicate_field", "occurs more than once");
        }
        found.first().map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }

    fn read<T>(
        &mut self,
        name: &str,
        raw: &'a RawValue,
        read: impl Fn(&'a RawValue) -> Result<T, Refusal>,
    ) -> Option<T> {
        match read(raw) {
            Ok(value) => Some(value),
            Err((code, detail)) => {
                self.refuse(name, code, &detail);
                None
            }
        }
    }

    /// Reports a problem with a member.
    pub fn refuse(&mut self, name: &str, code: &'static str, detail: &str) {
        self.problems.0.push(FieldError::new(
            format!("{}{}", self.pointer, pointer_step(name)),
            code,
            detail,
        ));
    }

    /// Reports a problem with a nested member or an array element.
    pub fn refuse_within(&mut self, name: &str, inner: &str, code: &'static str, detail: &str) {
        let pointer = format!("{}{}{}", self.pointer, pointer_step(name), pointer_step(inner));
        self.problems.0.push(FieldError::new(pointer, code, detail));
    }

    /// The name that the client used for a renamed member: the deprecated one only if the current one is absent.
    pub fn name_sent(&self, name: &'static str, deprecated: &'static str) -> &'static str {
        let has = |wanted: &str| self.members.iter().any(|(member, _)| member == wanted);
        if has(deprecated) && !has(name) { deprecated } else { name }
    }
}

/// The step of a JSON pointer to a member (RFC 6901).
pub fn pointer_step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
