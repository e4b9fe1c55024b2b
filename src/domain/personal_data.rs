//! Personal data as types that cannot be printed by accident.
//!
//! None of these types has `Display` or `Serialize`, and their `Debug` is masked: a name, a document or a birth date
//! reaches a row, a bureau or a client only through a method whose name says so.

use std::fmt;

use chrono::NaiveDate;

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

    /// Whether `text` repeats the document, with whatever separators and in either case.
    pub fn stands_in(&self, text: &str) -> bool {
        let kept = text.chars().filter(|character| character.is_alphanumeric());
        kept.flat_map(char::to_uppercase).collect::<String>().contains(&self.0)
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

/// The day that a person was born on, as an ISO 8601 date.
#[derive(Clone, PartialEq, Eq)]
pub struct BirthDate(String);

impl BirthDate {
    /// A day of the calendar.
    pub fn new(day: NaiveDate) -> Self {
        Self(day.to_string())
    }

    /// A day written as `1980-01-31`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let day = Self::new(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?);
        (day.0 == text).then_some(day)
    }

    /// What was stored. Earlier versions took any text that a client gave.
    pub fn from_storage(text: String) -> Self {
        Self(text)
    }

    /// The date in the clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BirthDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BirthDate(****)")
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
    fn a_birth_date_is_a_day_of_the_calendar_in_one_notation_and_never_printed() {
        assert_eq!(BirthDate::parse("1980-02-29").unwrap().reveal(), "1980-02-29");
        assert_eq!(format!("{:?}", BirthDate::parse("1980-02-29")), "Some(BirthDate(****))");
        for text in ["", "1981-02-29", "80-1-1", "1980-1-31", "+1980-01-31", "1980-01-31 ", "31.01.1980"] {
            assert_eq!(BirthDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_is_neither_empty_nor_endless_nor_a_terminal_escape() {
        assert!(FullName::parse(" \t ").is_none());
        assert!(FullName::parse("A\u{1b}[31m").is_none());
        assert!(FullName::parse(&"é".repeat(255)).is_some());
        assert!(FullName::parse(&"é".repeat(256)).is_none());
    }
}
