//! Personal data as types that cannot be printed by accident.
//!
//! Neither type has `Display` or `Serialize`, and their `Debug` is masked: a name or a document reaches a row, a
//! bureau or a client only through a method whose name says so.

use std::fmt;

/// A person's name, 1 to 255 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct FullName(String);

impl FullName {
    /// The longest accepted name, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Trims the name; `None` when nothing is left, when it is too long, or when it has control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= Self::MAX_CHARS;
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// A name that was checked before it was stored.
    pub fn from_storage(text: String) -> Self {
        Self(text)
    }

    /// The name in the clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FullName(****)")
    }
}

/// An identity document in its normalised form: ASCII, upper case, no separators.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityDocument(String);

impl IdentityDocument {
    /// The longest text accepted from a client, in characters, separators included.
    pub const MAX_CHARS: usize = 50;

    /// A document that its country's rules have normalised.
    pub fn from_normalized(text: String) -> Self {
        Self(text)
    }

    /// The document in the clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What anybody may see: the last four characters.
    pub fn masked(&self) -> String {
        let hidden = self.0.chars().count().saturating_sub(4);
        let tail: String = self.0.chars().skip(hidden).collect();
        format!("****{tail}")
    }
}

impl fmt::Debug for IdentityDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityDocument({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_gives_nothing_away() {
        let name = FullName::parse("  Ana García ").unwrap();
        assert_eq!(name.reveal(), "Ana García");
        assert_eq!(format!("{name:?}"), "FullName(****)");
        let document = IdentityDocument::from_normalized("12345678Z".into());
        assert_eq!(format!("{document:?}"), "IdentityDocument(****678Z)");
        assert_eq!(IdentityDocument::from_normalized("12".into()).masked(), "****12");
    }

    #[test]
    fn a_name_is_neither_empty_nor_endless_nor_a_terminal_escape() {
        assert!(FullName::parse(" \t ").is_none());
        assert!(FullName::parse("A\u{1b}[31m").is_none());
        assert!(FullName::parse(&"é".repeat(255)).is_some());
        assert!(FullName::parse(&"é".repeat(256)).is_none());
    }
}
