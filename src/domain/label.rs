//! Labels that may be unknown to this version.
//!
//! A label is the stored name of one of a fixed set of values, such as a status, a role or a country. During a rolling
//! upgrade, a newer version may store labels that are unknown to older instances. Lists show such a label as stored. Only
//! operations that depend on its meaning fail ([`Error::UnknownLabel`](crate::error::Error::UnknownLabel)).

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
/// A label that may be unknown to this version.
pub enum Label<T> {
    /// A label that is known to this version.
    Known(T),
    /// The text of any other label.
    Unknown(String),
}

impl<T: FromStr> Label<T> {
    /// Parses a stored label. Never fails.
    pub fn read(text: &str) -> Self {
        text.parse().map_or_else(|_unknown| Self::Unknown(text.to_owned()), Self::Known)
    }
}

impl<T: Copy> Label<T> {
    /// The label, if known.
    pub const fn known(&self) -> Option<T> {
        match self {
            Self::Known(label) => Some(*label),
            Self::Unknown(_) => None,
        }
    }

    /// The text of the label; `name` returns the text of a known label.
    pub fn text(&self, name: fn(T) -> &'static str) -> &str {
        match self {
            Self::Known(label) => name(*label),
            Self::Unknown(text) => text,
        }
    }
}

impl<T> Label<T> {
    /// The text of an unknown label.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(text) => Some(text),
        }
    }
}

impl<T> From<T> for Label<T> {
    fn from(label: T) -> Self {
        Self::Known(label)
    }
}

impl<T: Serialize> Serialize for Label<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(label) => label.serialize(serializer),
            Self::Unknown(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de, T: FromStr> Deserialize<'de> for Label<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status::Status;

    #[test]
    fn unknown_labels_survive_a_round_trip() {
        for (text, known) in [("APPROVED", Some(Status::Approved)), ("ON_HOLD", None)] {
            let label: Label<Status> = Label::read(text);
            assert_eq!((label.known(), label.text(Status::as_str)), (known, text));
            assert_eq!(label.unknown(), known.is_none().then_some(text));
            let json = serde_json::to_string(&label).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Label<Status>>(&json).unwrap(), label);
        }
    }
}
