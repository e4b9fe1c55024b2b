//! Identity documents: the one normalisation, the reason codes and the verdict that all countries share.
//!
//! What a country adds is a single function from the normalised text to its findings. It sees ASCII letters and
//! digits alone, in upper case, and as many of them as it asked for, so that no country ever handles unchecked
//! text. Nothing here panics, whatever the text.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::personal_data::IdentityDocument;

/// The age from which a person may apply (docs/specification.md 3.1).
const ADULT_YEARS: u32 = 18;

/// A kind of identity document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DocumentKind {
    /// Spain: Documento Nacional de Identidad.
    Dni,
    /// Spain: Número de Identidad de Extranjero.
    Nie,
    /// Portugal: Número de Identificação Fiscal.
    Nif,
    /// Italy: Codice Fiscale.
    CodiceFiscale,
    /// Mexico: Clave Única de Registro de Población.
    Curp,
    /// Colombia: Cédula de Ciudadanía.
    Cedula,
    /// Brazil: Cadastro de Pessoas Físicas.
    Cpf,
}

impl DocumentKind {
    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dni => "DNI",
            Self::Nie => "NIE",
            Self::Nif => "NIF",
            Self::CodiceFiscale => "CODICE_FISCALE",
            Self::Curp => "CURP",
            Self::Cedula => "CEDULA",
            Self::Cpf => "CPF",
        }
    }
}

/// Why a document is refused. The codes are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Too short or too long, separators not counted; or over 50 characters with them.
    BadLength,
    /// A character that a document does not have, or not at that place.
    BadFormat,
    /// The check digit or letter does not belong to the rest.
    BadCheckDigit,
    /// The birth date in the document is no day of the calendar, or lies in the future.
    BadDate,
    /// The person in the document is not 18 yet.
    Underage,
    /// The number is a company's, or another body's, not a person's.
    NotAPerson,
    /// The document holds a word that the register never issues.
    BlockedWord,
    /// The document names a state of birth that does not exist.
    BadState,
    /// All digits are the same: the check digits agree, but no such number is issued.
    RepeatedDigits,
}

impl ReasonCode {
    /// The code as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadLength => "bad_length",
            Self::BadFormat => "bad_format",
            Self::BadCheckDigit => "bad_check_digit",
            Self::BadDate => "bad_date",
            Self::Underage => "underage",
            Self::NotAPerson => "not_a_person",
            Self::BlockedWord => "blocked_word",
            Self::BadState => "bad_state",
            Self::RepeatedDigits => "repeated_digits",
        }
    }

    /// A sentence for the person who sent the document.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::BadLength => "The document has too few or too many characters.",
            Self::BadFormat => "The document has a character that does not belong there.",
            Self::BadCheckDigit => "The check character does not match the rest of the document.",
            Self::BadDate => "The birth date in the document is not a past day of the calendar.",
            Self::Underage => "The person in the document is under 18 years old.",
            Self::NotAPerson => "The document does not belong to a natural person.",
            Self::BlockedWord => "The document starts with a word that is never issued.",
            Self::BadState => "The document names an unknown state of birth.",
            Self::RepeatedDigits => "A document whose digits are all the same is never issued.",
        }
    }
}

/// The sex that a document states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither, which a CURP states as X.
    NonBinary,
}

/// What a document tells about its person. Personal data: its `Debug` says nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DocumentedPerson {
    /// The day of birth, century resolved.
    pub birth_date: NaiveDate,
    /// The sex.
    pub sex: Sex,
}

impl fmt::Debug for DocumentedPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentedPerson(****)")
    }
}

/// What a country's rules say about one text. The document in it is personal data: its `Debug` is masked.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentVerdict {
    /// Whether the document may apply.
    pub valid: bool,
    /// What kind of document it is; `null` when its shape is that of none.
    pub kind: Option<DocumentKind>,
    /// The document without separators, in upper case; `null` unless it is valid.
    #[schema(example = "12345678Z")]
    pub normalized: Option<String>,
    /// Everything that is wrong with it; empty when it is valid.
    pub reasons: Vec<ReasonCode>,
    /// What the document tells about its person, where it does and is valid.
    #[serde(skip)]
    #[schema(ignore)]
    pub person: Option<DocumentedPerson>,
}

impl DocumentVerdict {
    /// The text is of no kind that the country has.
    pub(super) fn unrecognised(reason: ReasonCode) -> Self {
        Self { valid: false, kind: None, normalized: None, reasons: vec![reason], person: None }
    }

    /// The text has the shape of `kind`; it is valid when nothing was found wrong with it.
    pub(super) fn recognised(
        kind: DocumentKind,
        text: String,
        reasons: Vec<ReasonCode>,
        person: Option<DocumentedPerson>,
    ) -> Self {
        let valid = reasons.is_empty();
        let (normalized, person) = if valid { (Some(text), person) } else { (None, None) };
        Self { valid, kind: Some(kind), normalized, reasons, person }
    }

    /// The verdict on bytes that are no text at all.
    pub fn not_text() -> Self {
        Self::unrecognised(ReasonCode::BadFormat)
    }
}

impl fmt::Debug for DocumentVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentVerdict")
            .field("valid", &self.valid)
            .field("kind", &self.kind)
            .field("reasons", &self.reasons)
            .finish_non_exhaustive()
    }
}

/// Trims ASCII whitespace, drops the separators space, point, hyphen and slash, and puts ASCII letters in upper
/// case. What is left is ASCII letters and digits alone.
///
/// # Errors
/// [`ReasonCode::BadLength`] for more than 50 characters (separators included, as a client sends them);
/// [`ReasonCode::BadFormat`] for any other character, and any that is not ASCII.
pub(super) fn normalize(text: &str) -> Result<String, ReasonCode> {
    if text.chars().nth(IdentityDocument::MAX_CHARS).is_some() {
        return Err(ReasonCode::BadLength);
    }
    text.trim_matches(|c: char| c.is_ascii_whitespace())
        .chars()
        .filter(|c| !matches!(c, ' ' | '.' | '-' | '/'))
        .map(|c| c.is_ascii_alphanumeric().then_some(c.to_ascii_uppercase()).ok_or(ReasonCode::BadFormat))
        .collect()
}

/// Normalises `text` to exactly `N` bytes, each an ASCII digit or upper-case letter.
///
/// # Errors
/// As [`normalize`], and [`ReasonCode::BadLength`] for any other length.
pub(super) fn normalize_exactly<const N: usize>(text: &str) -> Result<[u8; N], ReasonCode> {
    normalize_after(text, &[])
}

/// A normalised document as [`normalize_exactly`] reads it, without one of `prefixes` where it is longer and begins with
/// one: what official forms and certificates print before the number.
///
/// # Errors
/// As [`normalize_exactly`].
pub(super) fn normalize_after<const N: usize>(text: &str, prefixes: &[&str]) -> Result<[u8; N], ReasonCode> {
    let normalized = normalize(text)?;
    let is_bare = normalized.len() == N;
    let bare = if is_bare { &normalized } else { without_prefix(&normalized, prefixes) };
    bare.as_bytes().try_into().ok().ok_or(ReasonCode::BadLength)
}

/// A normalised document without the first of `prefixes` that it begins with.
pub(super) fn without_prefix<'a>(normalized: &'a str, prefixes: &[&str]) -> &'a str {
    prefixes.iter().find_map(|prefix| normalized.strip_prefix(prefix)).unwrap_or(normalized)
}

/// A normalised document as text again.
pub(super) fn to_text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The value of each byte, when all are decimal digits.
pub(super) fn digits<const N: usize>(bytes: [u8; N]) -> Option<[u32; N]> {
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.map(|b| u32::from(b.saturating_sub(b'0'))))
}

/// The number that a run of decimal digits writes.
pub(super) fn number(digits: &[u32]) -> u32 {
    digits.iter().fold(0, |n, d| n * 10 + d)
}

/// The date at `moment` where the clocks are `zone`'s. At the ends of time, where no offset can be added, it is
/// the date in UTC.
pub(super) fn local_date(moment: DateTime<Utc>, zone: Tz) -> NaiveDate {
    let utc = moment.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    utc.checked_add_offset(offset).unwrap_or(utc).date()
}

/// Whether somebody born on `birth` is 18 on `today`. Born on 29 February, a person comes of age on 1 March.
pub(super) fn is_adult(birth: NaiveDate, today: NaiveDate) -> bool {
    today.years_since(birth).is_some_and(|years| years >= ADULT_YEARS)
}

/// The latest day with these last two digits of the year that is not after `today`; at most the century before
/// `today`'s is tried. `None` when no such day is in the calendar.
pub(super) fn latest_past_date(
    year_of_century: u32,
    month: u32,
    day: u32,
    today: NaiveDate,
) -> Option<NaiveDate> {
    let century = today.year().div_euclid(100).checked_mul(100)?;
    let within = i32::try_from(year_of_century).ok()?;
    [century, century - 100]
        .into_iter()
        .filter_map(|century| NaiveDate::from_ymd_opt(century + within, month, day))
        .find(|date| *date <= today)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_case_are_dropped_and_nothing_else_is() {
        assert_eq!(normalize(" \t12.345-678/z\r\n"), Ok("12345678Z".into()));
        assert_eq!(normalize(""), Ok(String::new()));
        for bad in ["1234\t5678", "12_34", "１２３", "ñ", "12\u{a0}34", "\u{b}1", "1\0", "é", "İ", "ß"]
        {
            assert_eq!(normalize(bad), Err(ReasonCode::BadFormat), "{bad:?}");
        }
    }

    #[test]
    fn fifty_characters_are_read_and_fifty_one_are_not() {
        assert_eq!(normalize(&"-".repeat(50)), Ok(String::new()));
        assert_eq!(normalize(&"-".repeat(51)), Err(ReasonCode::BadLength));
        assert_eq!(normalize(&"é".repeat(51)), Err(ReasonCode::BadLength));
        assert_eq!(normalize(&"é".repeat(50)), Err(ReasonCode::BadFormat));
    }

    #[test]
    fn the_codes_in_json_are_the_codes_in_code() {
        use ReasonCode as R;
        for reason in [
            R::BadLength,
            R::BadFormat,
            R::BadCheckDigit,
            R::BadDate,
            R::Underage,
            R::NotAPerson,
            R::BlockedWord,
            R::BadState,
            R::RepeatedDigits,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        use DocumentKind as K;
        for kind in [K::Dni, K::Nie, K::Nif, K::CodiceFiscale, K::Curp, K::Cedula, K::Cpf] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_verdict_has_four_members_and_its_debug_output_gives_nothing_away() {
        let birth_date = NaiveDate::from_ymd_opt(1980, 1, 1).unwrap();
        let person = Some(DocumentedPerson { birth_date, sex: Sex::Male });
        let verdict = DocumentVerdict::recognised(DocumentKind::Dni, "12345678Z".into(), vec![], person);
        assert_eq!(
            serde_json::to_string(&verdict).unwrap(),
            r#"{"valid":true,"kind":"DNI","normalized":"12345678Z","reasons":[]}"#
        );
        assert!(!format!("{verdict:?} {person:?}").contains("1234"));
        assert!(!format!("{verdict:?} {person:?}").contains("1980"));
        assert_eq!(
            serde_json::to_string(&DocumentVerdict::not_text()).unwrap(),
            r#"{"valid":false,"kind":null,"normalized":null,"reasons":["bad_format"]}"#
        );
    }

    #[test]
    fn a_leap_day_child_comes_of_age_on_the_first_of_march() {
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        assert!(!is_adult(day(2008, 2, 29), day(2026, 2, 28)));
        assert!(is_adult(day(2008, 2, 29), day(2026, 3, 1)));
        assert!(!is_adult(day(2030, 1, 1), day(2026, 1, 1)));
    }

    #[test]
    fn the_century_is_the_latest_that_is_not_in_the_future() {
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        let today = day(2026, 5, 20);
        assert_eq!(latest_past_date(26, 5, 20, today), Some(day(2026, 5, 20)));
        assert_eq!(latest_past_date(26, 5, 21, today), Some(day(1926, 5, 21)));
        assert_eq!(latest_past_date(0, 2, 29, today), Some(day(2000, 2, 29)));
        assert_eq!(latest_past_date(96, 2, 29, today), Some(day(1996, 2, 29)));
        assert_eq!(latest_past_date(97, 2, 29, today), None);
        assert_eq!(latest_past_date(99, 1, 1, NaiveDate::MIN), None);
    }

    #[test]
    fn the_ends_of_time_have_a_date_everywhere() {
        for moment in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            for zone in [chrono_tz::America::Mexico_City, chrono_tz::Europe::Rome] {
                let _ = local_date(moment, zone);
            }
        }
    }
}
