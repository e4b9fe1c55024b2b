//! `country_specific_data`: the members that each country allows, and their values.
//!
//! Each country lists its members. All other members are rejected, which keeps personal data out of the unencrypted
//! column. A member that is personal in one country is personal in every country that has it; a test checks this.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::domain::personal_data::{self, BirthDate};
use crate::json::{Refusal, boolean, money, string, whole_number};

/// A member of `country_specific_data`.
#[derive(Debug, Clone, Copy)]
pub struct DataMember {
    /// Name of the JSON member.
    pub name: &'static str,
    /// Allowed values.
    pub kind: DataKind,
    /// Whether the member is personal: encrypted in the database, and masked in responses.
    pub personal: bool,
    /// The member's meaning, for clients.
    pub description: &'static str,
}

/// The type of a member and its bounds.
#[derive(Debug, Clone, Copy)]
pub enum DataKind {
    /// A text with 1 to this number of characters, without control characters.
    Text(usize),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A whole number within the bounds, inclusive.
    Integer(i64, i64),
    /// An amount in the country's currency, which may be zero.
    Amount,
    /// `true` or `false`.
    Flag,
    /// A date such as `1980-01-31`.
    Date,
    /// An e-mail address of at most 254 bytes.
    Email,
    /// A code with this minimum and maximum number of ASCII letters and digits. Spaces, points, hyphens and slashes are
    /// not counted.
    Code(usize, usize),
}

/// The maximum length of a code including separators, in characters.
const MAX_CODE_CHARS: usize = 64;

impl DataMember {
    /// A member that is stored unencrypted.
    pub(super) const fn open(name: &'static str, kind: DataKind, description: &'static str) -> Self {
        Self { name, kind, personal: false, description }
    }

    /// A member that is stored encrypted.
    pub(super) const fn personal(name: &'static str, kind: DataKind, description: &'static str) -> Self {
        Self { name, kind, personal: true, description }
    }

    /// Parses a value. Amounts become strings with two decimal places.
    ///
    /// # Errors
    /// A refusal if the type is wrong or the value is out of bounds.
    pub fn read(&self, raw: &RawValue) -> Result<Value, Refusal> {
        match self.kind {
            DataKind::Text(max) => text(raw, max).map(Value::from),
            DataKind::Choice(values) => choice(raw, values).map(Value::from),
            DataKind::Integer(min, max) => whole(raw, min, max).map(Value::from),
            DataKind::Amount => money(raw).map(|amount| Value::from(amount.to_string())),
            DataKind::Flag => boolean(raw).map(Value::from),
            DataKind::Date => date(raw).map(Value::from),
            DataKind::Email => email(raw).map(Value::from),
            DataKind::Code(min, max) => code(raw, min, max).map(Value::from),
        }
    }

    pub(super) fn describe(&self) -> MemberDescription {
        MemberDescription {
            name: self.name,
            kind: self.kind.as_str(),
            bounds: self.kind.bounds(),
            personal: self.personal,
            description: self.description,
        }
    }
}

impl DataKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Choice(_) => "choice",
            Self::Integer(..) => "integer",
            Self::Amount => "amount",
            Self::Flag => "flag",
            Self::Date => "date",
            Self::Email => "email",
            Self::Code(..) => "code",
        }
    }

    fn bounds(self) -> String {
        match self {
            Self::Text(max) => format!("1 to {max} characters"),
            Self::Choice(values) => values.join(", "),
            Self::Integer(min, max) => format!("{min} to {max}"),
            Self::Amount => "0.00 to 9999999999.99".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Date => "a date such as 1980-01-31".to_owned(),
            Self::Email => format!("at most {} bytes", personal_data::Email::MAX_BYTES),
            Self::Code(min, max) if min == max => format!("{min} letters and digits"),
            Self::Code(min, max) => format!("{min} to {max} letters and digits"),
        }
    }
}

/// A member of `country_specific_data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MemberDescription {
    /// Name of the JSON member.
    #[schema(example = "employer")]
    pub name: &'static str,
    /// `text`, `choice`, `integer`, `amount`, `flag`, `date`, `email` or `code`.
    #[schema(example = "text")]
    pub kind: &'static str,
    /// The allowed values, in words.
    #[schema(example = "1 to 120 characters")]
    pub bounds: String,
    /// Whether the member is personal: encrypted in the database, masked in responses and not searchable.
    #[schema(example = false)]
    pub personal: bool,
    /// The meaning of the member.
    #[schema(example = "The employer's name")]
    pub description: &'static str,
}

fn text(raw: &RawValue, max: usize) -> Result<String, Refusal> {
    let text = string(raw)?;
    let fits = !text.trim().is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control);
    let refusal = || ("bad_text", format!("must be 1 to {max} characters without control characters"));
    if fits { Ok(text) } else { Err(refusal()) }
}

fn choice(raw: &RawValue, values: &[&'static str]) -> Result<&'static str, Refusal> {
    let text = string(raw)?;
    let refusal = || ("unknown_value", format!("must be one of {}", values.join(", ")));
    values.iter().find(|value| **value == text).copied().ok_or_else(refusal)
}

fn whole(raw: &RawValue, min: i64, max: i64) -> Result<i64, Refusal> {
    let refusal = || ("out_of_range", format!("must be a whole number from {min} to {max}"));
    whole_number(raw)?.filter(|number| (min..=max).contains(number)).ok_or_else(refusal)
}

fn date(raw: &RawValue) -> Result<String, Refusal> {
    let refusal = || ("bad_date", "must be a date such as 1980-01-31".to_owned());
    let day = string(raw).ok().and_then(|text| BirthDate::parse(&text)).ok_or_else(refusal)?;
    Ok(day.reveal().to_owned())
}

fn email(raw: &RawValue) -> Result<String, Refusal> {
    let refusal = || ("bad_email", "must be an e-mail address".to_owned());
    let email = personal_data::Email::parse(&string(raw)?).ok_or_else(refusal)?;
    Ok(email.reveal().to_owned())
}

fn code(raw: &RawValue, min: usize, max: usize) -> Result<String, Refusal> {
    let text = string(raw)?;
    let is_separator = |c: char| matches!(c, ' ' | '.' | '-' | '/');
    let counted = text.chars().filter(|c| !is_separator(*c));
    let fits = text.len() <= MAX_CODE_CHARS
        && text.chars().all(|c| c.is_ascii_alphanumeric() || is_separator(c))
        && (min..=max).contains(&counted.count());
    let refusal = || ("bad_code", format!("must have {min} to {max} letters and digits"));
    if fits { Ok(text) } else { Err(refusal()) }
}

/// Birth date and sex in countries whose documents do not contain them.
pub(super) const FROM_CLIENT: [DataMember; 2] = [
    DataMember::personal("birth_date", DataKind::Date, "The applicant's birth date"),
    DataMember::open("sex", SEXES, "The applicant's sex"),
];

/// Birth date and sex in countries whose documents contain them.
pub(super) const FROM_DOCUMENT: [DataMember; 2] = [
    DataMember::personal("birth_date", DataKind::Date, "The applicant's birth date; taken from the document"),
    DataMember::open("sex", SEXES, "The applicant's sex; taken from the document"),
];

const SEXES: DataKind = DataKind::Choice(&["female", "male", "non_binary"]);

/// The members that every country has after birth date and sex.
pub(super) const FOR_ALL_COUNTRIES: &[DataMember] = &[
    DataMember::personal("email", DataKind::Email, "The applicant's e-mail address"),
    DataMember::personal("phone", DataKind::Text(32), "The applicant's telephone number"),
    DataMember::personal("address", DataKind::Text(200), "The applicant's address"),
    DataMember::personal("spouse_name", DataKind::Text(255), "The spouse's name"),
    DataMember::personal("spouse_document", DataKind::Code(4, 20), "The spouse's identity document"),
    DataMember::open("employer", DataKind::Text(120), "The employer's name"),
    DataMember::open("occupation", DataKind::Text(120), "The applicant's occupation"),
    DataMember::open(
        "employment_status",
        DataKind::Choice(&["employed", "self_employed", "retired", "student", "unemployed"]),
        "The applicant's employment status",
    ),
    DataMember::open("years_employed", DataKind::Integer(0, 70), "Whole years in the current employment"),
    DataMember::open("dependents", DataKind::Integer(0, 30), "The number of dependents"),
    DataMember::open(
        "housing",
        DataKind::Choice(&["owned", "rented", "family", "other"]),
        "The applicant's housing situation",
    ),
    DataMember::open("monthly_rent", DataKind::Amount, "The monthly rent"),
    DataMember::open("owns_vehicle", DataKind::Flag, "Whether the applicant owns a vehicle"),
    DataMember::open("loan_purpose", DataKind::Text(120), "The purpose of the loan"),
    DataMember::personal("note", DataKind::Text(500), "A note from the applicant"),
];

#[cfg(test)]
mod tests {
    use super::super::{data_members, is_personal};
    use super::*;
    use crate::domain::application::Country;
    use std::collections::{BTreeMap, BTreeSet};

    fn read(kind: DataKind, json: &str) -> Result<Value, &'static str> {
        let member = DataMember::open("x", kind, "");
        member.read(&RawValue::from_string(json.to_owned()).unwrap()).map_err(|(code, _)| code)
    }

    #[test]
    fn each_kind_accepts_values_within_its_bounds() {
        use DataKind::{Amount, Choice, Code, Date, Email, Flag, Integer, Text};
        for (kind, json, expected) in [
            (Text(3), "\"añb\"", Ok("añb".into())),
            (Text(3), "\"abcd\"", Err("bad_text")),
            (Text(3), "\" \"", Err("bad_text")),
            (Text(9), "\"a\\u0000\"", Err("bad_text")),
            (Text(3), "[\"a\"]", Err("bad_type")),
            (Choice(&["a", "b"]), "\"b\"", Ok("b".into())),
            (Choice(&["a", "b"]), "\"c\"", Err("unknown_value")),
            (Integer(0, 9), "9", Ok(9.into())),
            (Integer(0, 9), "10", Err("out_of_range")),
            (Integer(0, 9), "1e0", Err("out_of_range")),
            (Integer(0, 9), "18446744073709551616", Err("out_of_range")),
            (Integer(0, 9), "\"1\"", Err("bad_type")),
            (Amount, "1.7976931348623157e308", Err("bad_amount")),
            (Amount, "450.5", Ok("450.50".into())),
            (Amount, "\"450.50\"", Ok("450.50".into())),
            (Flag, "true", Ok(true.into())),
            (Flag, "1", Err("bad_type")),
            (Date, "\"1980-02-29\"", Ok("1980-02-29".into())),
            (Date, "\"1981-02-29\"", Err("bad_date")),
            (Email, "\"ana@example.com\"", Ok("ana@example.com".into())),
            (Email, "\"ana\"", Err("bad_email")),
            (Email, "\"a b@example.com\"", Err("bad_email")),
            (Code(4, 5), "\"AB-12\"", Ok("AB-12".into())),
            (Code(4, 5), "\"AB1\"", Err("bad_code")),
            (Code(4, 5), "\"AB12_\"", Err("bad_code")),
            (Code(4, 5), "\"ÁB12\"", Err("bad_code")),
        ] {
            assert_eq!(read(kind, json), expected, "{kind:?} {json}");
        }
    }

    #[test]
    fn names_are_unique_per_country_and_personal_everywhere_or_nowhere() {
        let mut personal: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
        for country in Country::ALL {
            let mut names = BTreeSet::new();
            for member in data_members(country) {
                assert!(names.insert(member.name), "{country} {}", member.name);
                personal.entry(member.name).or_default().insert(member.personal);
            }
            assert!(names.contains("birth_date") && names.contains("sex"), "{country}");
        }
        assert!(personal.values().all(|kinds| kinds.len() == 1), "{personal:?}");
        for name in ["email", "phone", "iban", "spouse_document", "note", "birth_date"] {
            assert!(is_personal(name), "{name}");
        }
        assert!(!is_personal("employer"));
    }
}
