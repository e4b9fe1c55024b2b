//! A word of a closed set, read from where a newer version may have written a word that this one does not know.
//!
//! Rolling upgrades add labels before every instance knows them. A list shows such a word as it is stored; what would have to
//! decide by it fails alone ([`Error::UnknownLabel`](crate::error::Error::UnknownLabel)).

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A word that is known or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Label<T> {
    /// One of this version's words.
    Known(T),
    /// Another one.
    Unknown(String),
}

impl<T: FromStr> Label<T> {
    /// Reads a stored word.
    pub fn read(text: &str) -> Self {
        text.parse().map_or_else(|_unknown| Self::Unknown(text.to_owned()), Self::Known)
    }
}

impl<T: Copy> Label<T> {
    /// The word, where it is known.
    pub const fn known(&self) -> Option<T> {
        match self {
            Self::Known(word) => Some(*word),
            Self::Unknown(_) => None,
        }
    }

    /// The text, which `name` gives for a known word.
    pub fn text(&self, name: fn(T) -> &'static str) -> &str {
        match self {
            Self::Known(word) => name(*word),
            Self::Unknown(text) => text,
        }
    }
}

impl<T> Label<T> {
    /// The text of a word that is not known.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(text) => Some(text),
        }
    }
}

impl<T> From<T> for Label<T> {
    fn from(word: T) -> Self {
        Self::Known(word)
    }
}

impl<T: Serialize> Serialize for Label<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(word) => word.serialize(serializer),
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
    fn an_unknown_word_is_written_as_it_was_read() {
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
