//! `country_specific_data`: the members that a country declares ([`crate::countries::data`]).
//!
//! Values from the document (`birth_date`, `sex`) cannot be changed later. Personal members are stored separately,
//! encrypted. When a single application is read, they are included, masked except for their first and last characters.

use chrono::{Months, NaiveDate};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::countries::DocumentedPerson;
use crate::countries::data::{DataKind, DataMember};
use crate::countries::personal_text;
use crate::countries::{data_members, is_personal};
use crate::domain::application::{Country, DataChange};
use crate::domain::personal_data::{BirthDate, PersonalMembers, masked_value};
use crate::error::{Error, Result};
use crate::http::request::{MAX_UNKNOWN_REPORTED, Refusals};
use crate::json::{Members, Refusal, exact_object, object, pointer_step};
use crate::lending::change::MAX_COUNTRY_DATA_BYTES as MAX_BYTES;

/// Maximum nesting of search values, counting the object itself as the first level.
const MAX_DEPTH: usize = 8;

/// The longest documented human life lasted 122 years.
const MAX_AGE_YEARS: u32 = 125;

const BIRTH_DATE: &str = "birth_date";
const SEX: &str = "sex";

/// The members whose values may come from the identity document.
const FROM_DOCUMENT: [&str; 2] = [BIRTH_DATE, SEX];

/// Reads an object of search values, whose members need not be declared.
///
/// # Errors
/// A refusal if it is not an object within the limits whose values can be stored exactly.
pub(super) fn read(raw: &RawValue) -> Result<Map<String, Value>, Refusal> {
    bounded(raw)?;
    exact_object(raw, MAX_DEPTH)
}

/// Reads an object within the size limit.
///
/// # Errors
/// A refusal if it is not an object or too large.
pub(super) fn bounded(raw: &RawValue) -> Result<Members<'_>, Refusal> {
    if raw.get().len() > MAX_BYTES {
        return Err(("too_large", format!("must be at most {MAX_BYTES} bytes of JSON")));
    }
    object(raw)
}

/// The data of a new application.
#[derive(Clone, Default)]
pub(super) struct NewData {
    pub(super) open: Map<String, Value>,
    pub(super) personal: PersonalMembers,
    pub(super) birth_date: Option<BirthDate>,
}

/// Reads the data of a new application of `country`, created on `today`; a `null` member counts as absent.
///
/// # Errors
/// All field errors of its members.
pub(super) fn read_new(
    country: Country,
    members: &Members<'_>,
    today: NaiveDate,
) -> Result<NewData, Refusals> {
    let (mut data, mut refusals) = (NewData::default(), Refusals::default());
    for (member, value) in declared(country, members, &mut refusals, |_| None) {
        let Some(value) = value else { continue };
        match (member.name, value.as_str()) {
            (BIRTH_DATE, Some(day)) => {
                data.birth_date = BirthDate::parse(day).filter(|birth| is_plausible(birth, today));
                if data.birth_date.is_none() {
                    let detail = format!("must be a date within the last {MAX_AGE_YEARS} years");
                    refusals.add(pointer_step(BIRTH_DATE), ("bad_date", detail));
                }
            }
            (name, _) if member.personal => data.personal.set(name, Some(value)),
            (name, _) => {
                data.open.insert(name.to_owned(), value);
            }
        }
    }
    refusals.into_result(data)
}

/// Whether this is a plausible birth date of a person who applies on `today`.
fn is_plausible(birth: &BirthDate, today: NaiveDate) -> bool {
    let oldest = today.checked_sub_months(Months::new(MAX_AGE_YEARS * 12)).unwrap_or(NaiveDate::MIN);
    birth.reveal().parse().is_ok_and(|day: NaiveDate| (oldest..=today).contains(&day))
}

/// Reads a change to an application of `country`; a `null` member is removed (RFC 7396).
///
/// # Errors
/// All field errors of its members.
pub(super) fn read_change(country: Country, members: &Members<'_>) -> Result<DataChange, Refusals> {
    let read_only = |member: &DataMember| {
        let is_from_document = FROM_DOCUMENT.contains(&member.name);
        is_from_document.then(|| ("read_only", "is only accepted on creation".to_owned()))
    };
    let (mut change, mut refusals) = (DataChange::default(), Refusals::default());
    for (member, value) in declared(country, members, &mut refusals, read_only) {
        let side = if member.personal { &mut change.personal } else { &mut change.open };
        side.push((member.name, value));
    }
    if members.iter().next().is_none() {
        refusals.add(String::new(), ("required", "must not be empty".to_owned()));
    }
    refusals.into_result(change)
}

/// The declared members in the request, with their values. Undeclared, invalid and duplicate members become field
/// errors.
fn declared(
    country: Country,
    members: &Members<'_>,
    refusals: &mut Refusals,
    refuse: impl Fn(&DataMember) -> Option<Refusal>,
) -> Vec<(&'static DataMember, Option<Value>)> {
    let mut found: Vec<(&'static DataMember, Option<Value>)> = Vec::new();
    let mut unknown = 0;
    for (name, raw) in members.iter() {
        let member = data_members(country).find(|member| member.name == name);
        let read = match member {
            None => Err(("unknown_field", format!("is not a member of the data of {country}"))),
            Some(member) if found.iter().any(|(known, _)| known.name == member.name) => {
                Err(("duplicate_field", "occurs more than once".to_owned()))
            }
            Some(member) => match refuse(member) {
                Some(refusal) => Err(refusal),
                None if raw.get() == "null" => Ok((member, None)),
                None => read_member(country, member, raw).map(|value| (member, Some(value))),
            },
        };
        unknown += usize::from(member.is_none());
        match read {
            Ok(read) => found.push(read),
            Err(_) if member.is_none() && unknown > MAX_UNKNOWN_REPORTED => {}
            Err(refusal) => refusals.add(pointer_step(name), refusal),
        }
    }
    found
}

/// Reads a member's value. Text that is stored unencrypted must not contain personal data.
fn read_member(country: Country, member: &DataMember, raw: &RawValue) -> Result<Value, Refusal> {
    let value = member.read(raw)?;
    let open_text = value.as_str().filter(|_| !member.personal && matches!(member.kind, DataKind::Text(_)));
    match open_text.and_then(|text| personal_text::find(country, text)) {
        Some(kind) => {
            Err(("personal_data", format!("must not contain {kind}, because it is stored unencrypted")))
        }
        None => Ok(value),
    }
}

/// Adds the sex from the document, replacing the value from the client. The birth date is stored separately.
pub(super) fn add_person(data: &mut Map<String, Value>, person: DocumentedPerson) -> Result<()> {
    data.insert(SEX.to_owned(), serde_json::to_value(person.sex).map_err(Error::internal)?);
    Ok(())
}

/// The data as shown to clients that may read the application. Personal members are masked except for their first and
/// last characters, even if plain SQL has stored them unencrypted.
pub(super) fn shown(
    open: Map<String, Value>,
    personal: &PersonalMembers,
    birth_date: Option<&BirthDate>,
) -> Map<String, Value> {
    let hide = |(name, value): (String, Value)| {
        let hidden = if name != BIRTH_DATE && is_personal(&name) { masked_value(&value) } else { value };
        (name, hidden)
    };
    let mut data: Map<String, Value> = open.into_iter().map(hide).collect();
    data.extend(personal.masked().map(|(name, value)| (name.to_owned(), value)));
    if let Some(birth_date) = birth_date {
        data.insert(BIRTH_DATE.to_owned(), Value::from(birth_date.reveal()));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;
    use serde_json::json;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 29).unwrap()
    }

    fn refused(read: impl Fn(Country, &Members<'_>) -> Result<(), Refusals>, json: &str) -> Vec<String> {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        let refusals = read(Country::Es, &bounded(&raw).unwrap()).err().unwrap_or_default();
        let show =
            |problem: FieldError| format!("/country_specific_data{} {}", problem.pointer, problem.code);
        Vec::from(refusals).into_iter().map(show).collect()
    }

    fn code(json: &str) -> Option<&'static str> {
        read(&RawValue::from_string(json.to_owned()).unwrap()).err().map(|(code, _)| code)
    }

    #[test]
    fn a_search_value_is_an_object_within_the_limits() {
        for (json, expected) in [
            ("{}", None),
            (r#"{"a": [1, -2.5e3, null, {"b": "é"}]}"#, None),
            (r#"{"a": [[[[[[[[1]]]]]]]]}"#, Some("too_deep")),
            ("[]", Some("bad_type")),
            (r#"{"a": 1e-400}"#, Some("inexact_number")),
            (r#"{"a": {"b": 1, "b": 2}}"#, Some("duplicate_field")),
            (&format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_BYTES)), Some("too_large")),
        ] {
            assert_eq!(code(json), expected, "{json:.60}");
        }
    }

    #[test]
    fn only_declared_members_are_accepted_and_each_field_error_has_its_pointer() {
        let new = |country: Country, members: &Members<'_>| read_new(country, members, today()).map(drop);
        for (json, expected) in [
            (r#"{"employer": "Acme", "iban": "ES91 2100 0418 4502 0005 1332", "note": null}"#, ""),
            (r#"{"a": 1.7976931348623157e308}"#, "/country_specific_data/a unknown_field"),
            (r#"{"a/b": {"rent": 1, "rent": 2}}"#, "/country_specific_data/a~1b unknown_field"),
            (r#"{"clabe": "002010077777777771"}"#, "/country_specific_data/clabe unknown_field"),
            (
                r#"{"monthly_rent": 1, "monthly_rent": 2}"#,
                "/country_specific_data/monthly_rent duplicate_field",
            ),
            (r#"{"monthly_rent": 31.245270191439438}"#, "/country_specific_data/monthly_rent bad_amount"),
            (
                r#"{"years_employed": 18446744073709551616}"#,
                "/country_specific_data/years_employed out_of_range",
            ),
            (r#"{"employer": {"name": "x"}}"#, "/country_specific_data/employer bad_type"),
            (r#"{"employer": "x\u0000"}"#, "/country_specific_data/employer bad_text"),
            (r#"{"employer": "ana@example.com"}"#, "/country_specific_data/employer personal_data"),
            (r#"{"loan_purpose": "for 12345678Z"}"#, "/country_specific_data/loan_purpose personal_data"),
            (r#"{"note": "12345678Z, ana@example.com"}"#, ""),
            (r#"{"birth_date": "2001-02-30"}"#, "/country_specific_data/birth_date bad_date"),
            (r#"{"birth_date": "2026-11-30"}"#, "/country_specific_data/birth_date bad_date"),
            (r#"{"birth_date": "1901-11-28"}"#, "/country_specific_data/birth_date bad_date"),
        ] {
            assert_eq!(refused(new, json).join(", "), expected, "{json}");
        }
        let unknown: Vec<String> = (0..1000).map(|n| format!("\"x{n}\": 1")).collect();
        assert_eq!(refused(new, &format!("{{{}}}", unknown.join(","))).len(), MAX_UNKNOWN_REPORTED);
        let change = |country: Country, members: &Members<'_>| read_change(country, members).map(drop);
        for (json, expected) in [
            ("{}", "/country_specific_data required"),
            (r#"{"employer": null, "email": "a@b.es"}"#, ""),
            (r#"{"birth_date": "2001-02-03"}"#, "/country_specific_data/birth_date read_only"),
            (r#"{"sex": null}"#, "/country_specific_data/sex read_only"),
            (r#"{"employer": "ana@example.com"}"#, "/country_specific_data/employer personal_data"),
        ] {
            assert_eq!(refused(change, json).join(", "), expected, "{json}");
        }
    }

    #[test]
    fn personal_members_are_stored_separately_and_masked() {
        let json = r#"{"employer": "Acme", "email": "ana@example.com", "birth_date": "2001-02-03"}"#;
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        let data = read_new(Country::Es, &bounded(&raw).unwrap(), today()).unwrap();
        assert_eq!(Value::Object(data.open.clone()), json!({"employer": "Acme"}));
        let mut open = data.open;
        open.insert("phone".to_owned(), "+34 600 100 200".into());
        let seen = Value::Object(shown(open, &data.personal, data.birth_date.as_ref()));
        let expected =
            json!({"employer": "Acme", "email": "****.com", "phone": "**** 200", "birth_date": "2001-02-03"});
        assert_eq!(seen, expected);
    }
}
