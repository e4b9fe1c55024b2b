//! Types for personal data. They prevent printing it by accident.
//!
//! None of them implements `Display` or `Serialize`, and `Debug` masks the value. Only `reveal` and the methods for
//! storage return the plain text.

use std::fmt;

use chrono::NaiveDate;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use serde_json::{Map, Value};

/// A person's name: 1 to 255 characters in Unicode normalization form C.
#[derive(Clone, PartialEq, Eq)]
pub struct FullName(String);

impl FullName {
    /// The longest accepted name, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Trims and normalizes the name (NFC). `None` if it is too long, has no letter, or contains a character that is
    /// not allowed in names.
    pub fn parse(text: &str) -> Option<Self> {
        let text = ComposingNormalizerBorrowed::new_nfc().normalize(text.trim()).into_owned();
        let categories = CodePointMapData::<GeneralCategory>::new();
        let has_letter =
            text.chars().any(|c| is_visible(c) && GeneralCategoryGroup::Letter.contains(categories.get(c)));
        let fits = text.chars().count() <= Self::MAX_CHARS;
        (fits && has_letter && text.chars().all(is_allowed_in_names)).then_some(Self(text))
    }

    /// A name from the database, which was checked before it was stored.
    pub fn from_storage(text: String) -> Self {
        Self(text)
    }

    /// The name in plain text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Whether the character is visible or modifies a visible one. Some letters are invisible, for example the filler U+3164.
fn is_visible(character: char) -> bool {
    !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// Whether a character is allowed in names. Control, format, private-use, unassigned, line-breaking and invisible
/// characters are not, including bidirectional controls, which can disguise a name. The zero width joiner and
/// non-joiner are allowed: Persian and Indic names need them.
fn is_allowed_in_names(character: char) -> bool {
    const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    let is_other = GeneralCategoryGroup::Other.contains(category)
        || matches!(category, GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator);
    JOINERS.contains(&character) || !is_other && is_visible(character)
}

impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FullName(****)")
    }
}

/// An e-mail address, as written.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The longest accepted address, in bytes (RFC 5321, section 4.5.3.1.3, without the angle brackets).
    pub const MAX_BYTES: usize = 254;

    /// Trims the address. `None` if it has another form than `name@domain.tld` (RFC 5321, without quoted names and
    /// address literals).
    pub fn parse(text: &str) -> Option<Self> {
        let options = email_address::Options::default()
            .with_required_tld()
            .without_display_text()
            .without_domain_literal();
        let text = text.trim();
        let is_valid = text.len() <= Self::MAX_BYTES
            && !text.contains('"')
            && email_address::EmailAddress::parse_with_options(text, options).is_ok();
        is_valid.then(|| Self(text.to_owned()))
    }

    /// An address from the database, which was checked before it was stored.
    pub fn from_storage(text: String) -> Self {
        Self(text)
    }

    /// The address in plain text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The form in which addresses are compared. Strictly, only the domain ignores case, but no common mail server
    /// distinguishes names by case.
    pub fn normalized(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(****)")
    }
}

/// An identity document in normalized form: ASCII, upper case, without separators.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityDocument(String);

impl IdentityDocument {
    /// Longest accepted text, in characters, including separators.
    pub const MAX_CHARS: usize = 50;

    /// A document normalized by its country's rules.
    pub fn from_normalized(text: String) -> Self {
        Self(text)
    }

    /// The document in plain text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `text` contains the document, ignoring separators and case.
    pub fn occurs_in(&self, text: &str) -> bool {
        let kept = text.chars().filter(|character| character.is_alphanumeric());
        kept.flat_map(char::to_uppercase).collect::<String>().contains(&self.0)
    }

    /// The masked document: only the last four characters are shown.
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

/// A person's birth date in ISO 8601 format.
#[derive(Clone, PartialEq, Eq)]
pub struct BirthDate(String);

impl BirthDate {
    /// Formats `day` as ISO 8601.
    pub fn new(day: NaiveDate) -> Self {
        Self(day.to_string())
    }

    /// Parses a date such as `1980-01-31`. `None` for any other format.
    pub fn parse(text: &str) -> Option<Self> {
        let day = Self::new(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?);
        (day.0 == text).then_some(day)
    }

    /// A date from the database. It may be any text, because earlier versions did not check it.
    pub fn from_storage(text: String) -> Self {
        Self(text)
    }

    /// The date in plain text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BirthDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BirthDate(****)")
    }
}

/// Personal country-specific members, such as an e-mail address, by name.
#[derive(Clone, Default, PartialEq)]
pub struct PersonalMembers(Map<String, Value>);

impl PersonalMembers {
    /// Wraps members that have been checked.
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// Parses the result of [`PersonalMembers::to_storage`].
    pub fn from_storage(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// The members as plain JSON, to be encrypted; `None` if there are none.
    pub fn to_storage(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| Value::Object(self.0.clone()).to_string())
    }

    /// The members in plain text.
    pub fn reveal(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Sets a member, or removes it if `value` is `None`.
    pub fn set(&mut self, name: &str, value: Option<Value>) {
        match value {
            Some(value) => self.0.insert(name.to_owned(), value),
            None => self.0.remove(name),
        };
    }

    /// Every member with its masked value.
    pub fn masked(&self) -> impl Iterator<Item = (&str, Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), masked_value(value)))
    }
}

impl fmt::Debug for PersonalMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalMembers(****)")
    }
}

/// A masked personal value: only the last four characters of a string with at least eight are shown.
pub fn masked_value(value: &Value) -> Value {
    let text = value.as_str().unwrap_or_default();
    let hidden = text.chars().count().saturating_sub(4);
    let tail: String = if hidden >= 4 { text.chars().skip(hidden).collect() } else { String::new() };
    Value::from(format!("****{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_is_masked() {
        let name = FullName::parse("  Ana García ").unwrap();
        assert_eq!(name.reveal(), "Ana García");
        assert_eq!(format!("{name:?}"), "FullName(****)");
        let document = IdentityDocument::from_normalized("12345678Z".into());
        assert_eq!(format!("{document:?}"), "IdentityDocument(****678Z)");
        assert_eq!(IdentityDocument::from_normalized("12".into()).masked(), "****12");
    }

    #[test]
    fn email_addresses_have_a_name_and_a_domain_and_are_masked() {
        for text in ["ada@example.com", "Ada.Lovelace+aval@mail.example.co.uk", "josé@example.com", "a@b.io"]
        {
            assert_eq!(Email::parse(&format!(" {text} ")).unwrap().reveal(), text);
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for text in [
            "",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "ada@@example.com",
            "ada lovelace@example.com",
            "Ada <ada@example.com>",
            "\"ada\"@example.com",
            "ada@[127.0.0.1]",
            "ada@example.com\r\nBcc: eve@example.com",
            &long,
        ] {
            assert_eq!(Email::parse(text), None, "{text}");
        }
        assert_eq!(format!("{:?}", Email::parse("ada@example.com")), "Some(Email(****))");
        assert_eq!(Email::parse("Ada@Example.com").unwrap().normalized(), "ada@example.com");
    }

    #[test]
    fn birth_dates_are_calendar_dates_in_iso_format_and_masked() {
        assert_eq!(BirthDate::parse("1980-02-29").unwrap().reveal(), "1980-02-29");
        assert_eq!(format!("{:?}", BirthDate::parse("1980-02-29")), "Some(BirthDate(****))");
        for text in ["", "1981-02-29", "80-1-1", "1980-1-31", "+1980-01-31", "1980-01-31 ", "31.01.1980"] {
            assert_eq!(BirthDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn empty_overlong_and_control_character_names_are_rejected() {
        assert!(FullName::parse(" \t ").is_none());
        assert!(FullName::parse("A\u{1b}[31m").is_none());
        assert!(FullName::parse(&"é".repeat(255)).is_some());
        assert!(FullName::parse(&"é".repeat(256)).is_none());
    }

    #[test]
    fn names_with_invisible_or_disguising_characters_are_rejected() {
        for text in [
            "\u{200b}",
            "\u{feff}",
            "\u{3164}",
            "\u{2800}",
            "\u{ad}",
            "\u{115f}\u{1160}",
            "\u{ffa0}",
            "\u{200d}",
            "\u{fe0f}",
            "\u{e0020}",
            "\u{34f}",
            "1234",
            "\u{301}",
            "Ana \u{202e}aicraG",
            "Ana\u{2066}García\u{2069}",
            "Ana\u{200b}García",
            "Ana\u{200f}",
            "Ana\u{61c}",
            "Ana\u{3164}",
            "Ana\u{2028}García",
            "Ana\u{2029}García",
            "Ana\u{e000}",
            "Ana\u{fdd0}",
            "Ana\u{7f}",
            "Ana\u{85}García",
        ] {
            assert_eq!(FullName::parse(text), None, "{text:?}");
        }
        for text in ["Ana", "O'Neill", "José-María d’Ávila", "李小龍", "Ñ", "نرگس\u{200c}پور", "Ana 2ª"]
        {
            assert_eq!(FullName::parse(text).unwrap().reveal(), text);
        }
        assert_eq!(FullName::parse("Garci\u{301}a").unwrap().reveal(), "García", "NFC");
    }

    #[test]
    fn masked_values_show_at_most_the_last_four_characters() {
        for (value, shown) in [
            (Value::from("ana@example.com"), "****.com"),
            (Value::from("1234567"), "****"),
            (Value::from("12345678"), "****5678"),
            (Value::from(12_345_678), "****"),
            (Value::from(vec!["12345678"]), "****"),
        ] {
            assert_eq!(masked_value(&value), shown);
        }
        let mut members = PersonalMembers::default();
        assert_eq!(members.to_storage(), None);
        members.set("email", Some("ana@example.com".into()));
        assert_eq!(PersonalMembers::from_storage(&members.to_storage().unwrap()), Some(members.clone()));
        assert_eq!(format!("{members:?}"), "PersonalMembers(****)");
        members.set("email", None);
        assert_eq!(members, PersonalMembers::default());
    }
}
