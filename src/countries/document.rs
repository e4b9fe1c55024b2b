//! Identity documents: normalization, reason codes and verdicts.
//!
//! A country's check first normalizes the text with the functions of this module. The result consists of ASCII upper-case
//! letters and digits, so the rest of the check handles no other characters. No text causes a panic.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::personal_data::IdentityDocument;

/// The minimum age of applicants (section 3 of docs/specification.md).
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
    /// The name in JSON.
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

/// Why a document is rejected. The codes are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Too short or too long without separators, or longer than 50 characters with separators.
    BadLength,
    /// A character that is not allowed, or not at its position.
    BadFormat,
    /// The check digit or letter does not match.
    BadCheckDigit,
    /// The birth date in the document does not exist or is in the future.
    BadDate,
    /// The person is younger than 18.
    Underage,
    /// The number belongs to a company or another organization.
    NotAPerson,
    /// The document contains a word that is never issued.
    BlockedWord,
    /// The document contains an unknown state of birth.
    BadState,
    /// All digits are equal: the check digits match, but the number is never issued.
    RepeatedDigits,
}

impl ReasonCode {
    /// The code in JSON.
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

    /// A sentence for the client.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::BadLength => "The document has too few or too many characters.",
            Self::BadFormat => "The document contains a character that is not allowed at its position.",
            Self::BadCheckDigit => "The check character does not match the rest of the document.",
            Self::BadDate => "The birth date in the document does not exist or is in the future.",
            Self::Underage => "The person in the document is under 18 years old.",
            Self::NotAPerson => "The document does not belong to a natural person.",
            Self::BlockedWord => "The document starts with a word that is never issued.",
            Self::BadState => "The document contains an unknown state of birth.",
            Self::RepeatedDigits => "A document with all digits equal is never issued.",
        }
    }
}

/// The sex stated in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither; a CURP states it as X.
    NonBinary,
}

/// Data about a person from the document. `Debug` is masked: it is personal data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DocumentedPerson {
    /// The birth date with the century resolved.
    pub birth_date: NaiveDate,
    /// The stated sex.
    pub sex: Sex,
}

impl fmt::Debug for DocumentedPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentedPerson(****)")
    }
}

/// The result of checking a document. `Debug` omits the document: it is personal data.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentVerdict {
    /// Whether the document is valid.
    pub valid: bool,
    /// The kind of document; `null` if the format matches none.
    pub kind: Option<DocumentKind>,
    /// The document in upper case without separators; `null` if it is not valid.
    #[schema(example = "12345678Z")]
    pub normalized: Option<String>,
    /// All problems; empty if the document is valid.
    pub reasons: Vec<ReasonCode>,
    /// Data about the person, if the document is valid and contains any.
    #[serde(skip)]
    #[schema(ignore)]
    pub person: Option<DocumentedPerson>,
}

impl DocumentVerdict {
    /// The text does not match any kind of the country's documents.
    pub(super) fn unrecognized(reason: ReasonCode) -> Self {
        Self { valid: false, kind: None, normalized: None, reasons: vec![reason], person: None }
    }

    /// The text has the format of `kind`. It is valid if there are no `reasons`.
    pub(super) fn recognized(
        kind: DocumentKind,
        text: String,
        reasons: Vec<ReasonCode>,
        person: Option<DocumentedPerson>,
    ) -> Self {
        let valid = reasons.is_empty();
        let (normalized, person) = if valid { (Some(text), person) } else { (None, None) };
        Self { valid, kind: Some(kind), normalized, reasons, person }
    }

    /// The verdict on bytes that are not text.
    pub fn not_text() -> Self {
        Self::unrecognized(ReasonCode::BadFormat)
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

/// Trims ASCII whitespace, removes the separators space, point, hyphen and slash, and converts ASCII letters to upper
/// case. The result consists of ASCII letters and digits.
///
/// # Errors
/// [`ReasonCode::BadLength`] if the text has more than 50 characters including separators; [`ReasonCode::BadFormat`] if
/// it contains any other character.
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

/// Normalizes `text` to exactly `N` ASCII digits or upper-case letters.
///
/// # Errors
/// The errors of [`normalize`]; [`ReasonCode::BadLength`] for any other length.
pub(super) fn normalize_exactly<const N: usize>(text: &str) -> Result<[u8; N], ReasonCode> {
    normalize_after(text, &[])
}

/// Like [`normalize_exactly`], but removes one of `prefixes` from a longer text. Official forms and certificates print
/// such prefixes before the number.
///
/// # Errors
/// The errors of [`normalize_exactly`].
pub(super) fn normalize_after<const N: usize>(text: &str, prefixes: &[&str]) -> Result<[u8; N], ReasonCode> {
    let normalized = normalize(text)?;
    let is_bare = normalized.len() == N;
    let bare = if is_bare { &normalized } else { without_prefix(&normalized, prefixes) };
    bare.as_bytes().try_into().ok().ok_or(ReasonCode::BadLength)
}

/// Removes the first of `prefixes` that matches.
pub(super) fn without_prefix<'a>(normalized: &'a str, prefixes: &[&str]) -> &'a str {
    prefixes.iter().find_map(|prefix| normalized.strip_prefix(prefix)).unwrap_or(normalized)
}

pub(super) fn to_text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The value of each byte if all are decimal digits.
pub(super) fn digits<const N: usize>(bytes: [u8; N]) -> Option<[u32; N]> {
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.map(|b| u32::from(b.saturating_sub(b'0'))))
}

/// The number with these decimal digits.
pub(super) fn number(digits: &[u32]) -> u32 {
    digits.iter().fold(0, |n, d| n * 10 + d)
}

/// The date at `moment` in the time zone; the date in UTC for extreme moments that cannot be converted.
pub(super) fn local_date(moment: DateTime<Utc>, zone: Tz) -> NaiveDate {
    let utc = moment.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    utc.checked_add_offset(offset).unwrap_or(utc).date()
}

/// Whether a person born on `birth` is 18 on `today`. A person born on 29 February comes of age on 1 March.
pub(super) fn is_adult(birth: NaiveDate, today: NaiveDate) -> bool {
    today.years_since(birth).is_some_and(|years| years >= ADULT_YEARS)
}

/// The latest date with this two-digit year that is not after `today`, in the current or the previous century. `None`
/// if there is no such date.
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
    use super::super::definition_of;
    use super::*;
    use crate::domain::application::Country;

    #[test]
    fn only_separators_and_case_are_normalized() {
        assert_eq!(normalize(" \t12.345-678/z\r\n"), Ok("12345678Z".into()));
        assert_eq!(normalize(""), Ok(String::new()));
        for bad in ["1234\t5678", "12_34", "１２３", "ñ", "12\u{a0}34", "\u{b}1", "1\0", "é", "İ", "ß"]
        {
            assert_eq!(normalize(bad), Err(ReasonCode::BadFormat), "{bad:?}");
        }
    }

    #[test]
    fn more_than_fifty_characters_are_rejected() {
        assert_eq!(normalize(&"-".repeat(50)), Ok(String::new()));
        assert_eq!(normalize(&"-".repeat(51)), Err(ReasonCode::BadLength));
        assert_eq!(normalize(&"é".repeat(51)), Err(ReasonCode::BadLength));
        assert_eq!(normalize(&"é".repeat(50)), Err(ReasonCode::BadFormat));
    }

    #[test]
    fn codes_are_the_same_in_json_and_text() {
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
        for kind in Country::ALL.into_iter().flat_map(|country| definition_of(country).document.kinds) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_verdict_has_four_members_and_masked_debug_output() {
        let birth_date = NaiveDate::from_ymd_opt(1980, 1, 1).unwrap();
        let person = Some(DocumentedPerson { birth_date, sex: Sex::Male });
        let verdict = DocumentVerdict::recognized(DocumentKind::Dni, "12345678Z".into(), vec![], person);
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
    fn a_person_born_on_a_leap_day_comes_of_age_on_the_first_of_march() {
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        assert!(!is_adult(day(2008, 2, 29), day(2026, 2, 28)));
        assert!(is_adult(day(2008, 2, 29), day(2026, 3, 1)));
        assert!(!is_adult(day(2030, 1, 1), day(2026, 1, 1)));
    }

    #[test]
    fn the_century_is_the_latest_without_a_future_date() {
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
    fn extreme_moments_have_a_date_in_every_zone() {
        for moment in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            for zone in [chrono_tz::America::Mexico_City, chrono_tz::Europe::Rome] {
                let _ = local_date(moment, zone);
            }
        }
    }
}
