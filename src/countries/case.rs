//! Reading a case from JSON, with everything that is wrong with it at once.
//!
//! The what-if of `POST /countries/{code}/evaluations` and the lines of `aval decide` are read here. Each member is
//! taken by its exact text, because an amount must be; each problem becomes a [`FieldError`] with a JSON pointer, so
//! that a client sees all of them in one answer. A member that is not known, or stands there twice, is a problem
//! too: it is a typing error that would otherwise silently change a decision. Only the first hundred problems are
//! told: a body full of unknown members must not be answered with a larger one.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::Error as ValueError;
use serde::de::{IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::application::TermMonths;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::decision::Case;
use crate::domain::money::{Money, MoneyError, exact_text};
use crate::error::{Error, FieldError, PublicMessage, Result};

/// How many problems are told.
const MAX_PROBLEMS: usize = 100;

/// Reads `{requested_amount, monthly_income, term_months?, banking_data}`. A member of `banking_data` that is
/// absent or `null` was not told; `term_months` defaults to 36.
///
/// # Errors
/// [`Error::Malformed`] when the text is not one JSON object; [`Error::Validation`] with the problems of its members
/// otherwise.
pub fn parse_case(json: &[u8]) -> Result<Case> {
    let members: Members<'_> = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    let mut problems = Problems::default();
    let mut fields = Fields::new(members, "", &mut problems);
    let requested_amount = fields.required("requested_amount", positive_money);
    let monthly_income = fields.required("monthly_income", positive_money);
    let term_months = fields.optional("term_months", term_months);
    let banking_members = fields.required("banking_data", object);
    fields.refuse_the_rest();
    let banking_data = banking_members.map(|members| banking_data(members, &mut problems));
    match (requested_amount, monthly_income, banking_data, problems.0.is_empty()) {
        (Some(requested_amount), Some(monthly_income), Some(banking_data), true) => Ok(Case {
            requested_amount,
            monthly_income,
            term_months: term_months.unwrap_or(TermMonths::DEFAULT),
            banking_data,
        }),
        _ => Err(Error::Validation(problems.0)),
    }
}

/// Says where the text stops being a JSON object, and nothing of what stands there.
fn malformed(error: &serde_json::Error) -> Error {
    let what = if error.is_data() { "is not a JSON object" } else { "is not valid JSON" };
    let place = format!("the case {what} (line {}, column {})", error.line(), error.column());
    Error::Malformed(PublicMessage::new(place))
}

fn banking_data(members: Members<'_>, problems: &mut Problems) -> BankingData {
    let mut fields = Fields::new(members, "/banking_data", problems);
    let data = BankingData {
        provider_name: fields.optional("provider_name", string).unwrap_or_default(),
        account_status: fields.optional("account_status", account_status),
        credit_score: fields.optional("credit_score", credit_score),
        total_debt: fields.optional("total_debt", money),
        monthly_obligations: fields.optional("monthly_obligations", money),
        has_defaults: fields.optional("has_defaults", boolean),
        average_monthly_income: fields.optional("average_monthly_income", money),
        verified: fields.optional("verified", boolean),
        additional_data: fields.optional("additional_data", any_object).unwrap_or_default(),
    };
    fields.refuse_the_rest();
    data
}

/// What is wrong with one value: a stable code and a sentence.
type Refusal = (&'static str, String);

fn bad_type(expected: &str) -> Refusal {
    ("bad_type", format!("must be {expected}"))
}

fn money(raw: &RawValue) -> Result<Money, Refusal> {
    Money::parse(exact_text(raw)).map_err(refuse_amount)
}

fn positive_money(raw: &RawValue) -> Result<Money, Refusal> {
    Money::parse_positive(exact_text(raw)).map_err(refuse_amount)
}

fn refuse_amount(error: MoneyError) -> Refusal {
    (error.code(), error.to_string())
}

fn term_months(raw: &RawValue) -> Result<TermMonths, Refusal> {
    let refusal = || ("out_of_range", "must be a whole number from 6 to 84".to_owned());
    whole_number(raw)?.and_then(TermMonths::new).ok_or_else(refusal)
}

fn credit_score(raw: &RawValue) -> Result<CreditScore, Refusal> {
    let refusal = || ("out_of_range", "must be a whole number from 300 to 850".to_owned());
    whole_number(raw)?.and_then(CreditScore::new).ok_or_else(refusal)
}

/// A JSON number; `None` when it is not a whole one, or one that no field could hold.
fn whole_number(raw: &RawValue) -> Result<Option<i64>, Refusal> {
    if !raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(bad_type("a whole number"));
    }
    Ok(raw.get().parse().ok())
}

fn account_status(raw: &RawValue) -> Result<AccountStatus, Refusal> {
    let text = string(raw)?;
    let status: Result<AccountStatus, ValueError> = AccountStatus::deserialize(text.into_deserializer());
    status.ok().ok_or_else(|| bad_type("a string"))
}

fn string(raw: &RawValue) -> Result<String, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("a string"))
}

fn boolean(raw: &RawValue) -> Result<bool, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("true or false"))
}

fn any_object(raw: &RawValue) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("an object"))
}

fn object(raw: &RawValue) -> Result<Members<'_>, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("an object"))
}

/// The members of a JSON object, in order, each by its exact text.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

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

#[derive(Default)]
struct Problems(Vec<FieldError>);

/// The members of one object that are still to be read. Every problem goes to `problems`.
struct Fields<'a, 'p> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The JSON pointer of the object.
    pointer: &'static str,
    problems: &'p mut Problems,
}

impl<'a, 'p> Fields<'a, 'p> {
    fn new(members: Members<'a>, pointer: &'static str, problems: &'p mut Problems) -> Self {
        Self { members: members.0, pointer, problems }
    }

    /// Takes a member that must be there.
    fn required<T>(&mut self, name: &str, read: impl Fn(&'a RawValue) -> Result<T, Refusal>) -> Option<T> {
        let Some(raw) = self.take(name) else {
            self.refuse(name, "required", "is required");
            return None;
        };
        self.read(name, raw, read)
    }

    /// Takes a member that may be absent or `null`.
    fn optional<T>(&mut self, name: &str, read: impl Fn(&'a RawValue) -> Result<T, Refusal>) -> Option<T> {
        let raw = self.take(name)?;
        self.read(name, raw, read)
    }

    /// Reports what nobody took.
    fn refuse_the_rest(&mut self) {
        for (name, _) in std::mem::take(&mut self.members) {
            self.refuse(&name, "unknown_field", "is not a field of this object");
        }
    }

    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let (found, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.members).into_iter().partition(|(member, _)| member == name);
        self.members = rest;
        if found.len() > 1 {
            self.refuse(name, "duplicate_field", "stands there more than once");
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

    fn refuse(&mut self, name: &str, code: &'static str, detail: &str) {
        if self.problems.0.len() >= MAX_PROBLEMS {
            return;
        }
        let escaped = name.replace('~', "~0").replace('/', "~1");
        self.problems.0.push(FieldError::new(format!("{}/{escaped}", self.pointer), code, detail));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const WHOLE: &str = r#"{
        "requested_amount": "15000.00",
        "monthly_income": 3500,
        "term_months": 48,
        "banking_data": {
            "provider_name": "CRIF",
            "account_status": "closed",
            "credit_score": 720,
            "total_debt": 0,
            "monthly_obligations": "300.5",
            "has_defaults": false,
            "average_monthly_income": 3400.25,
            "verified": true,
            "additional_data": {"note": [1, {"a": null}]}
        }
    }"#;

    /// Pointer and code of each problem.
    fn problems(json: &str) -> Vec<(String, &'static str)> {
        match parse_case(json.as_bytes()) {
            Err(Error::Validation(fields)) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{json}: {other:?}"),
        }
    }

    fn with(name: &str, value: &str) -> String {
        let usual = [("requested_amount", "1"), ("monthly_income", "1"), ("banking_data", "{}")];
        let mut members: Vec<String> = vec![format!("\"{name}\": {value}")];
        members.extend(usual.iter().filter(|(n, _)| *n != name).map(|(n, v)| format!("\"{n}\": {v}")));
        format!("{{{}}}", members.join(", "))
    }

    fn with_told(name: &str, value: &str) -> String {
        with("banking_data", &format!("{{\"{name}\": {value}}}"))
    }

    #[test]
    fn a_whole_case_is_read_as_it_stands() {
        let case = parse_case(WHOLE.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(&case).unwrap(),
            json!({
                "requested_amount": "15000.00",
                "monthly_income": "3500.00",
                "term_months": 48,
                "banking_data": {
                    "provider_name": "CRIF",
                    "account_status": "closed",
                    "credit_score": 720,
                    "total_debt": "0.00",
                    "monthly_obligations": "300.50",
                    "has_defaults": false,
                    "average_monthly_income": "3400.25",
                    "verified": true,
                    "additional_data": {"note": [1, {"a": null}]},
                },
            })
        );
        let written = serde_json::to_vec(&case).unwrap();
        assert_eq!(parse_case(&written).unwrap(), case, "what Aval writes it also reads");
    }

    #[test]
    fn what_is_absent_or_null_was_not_told() {
        let nulls = r#"{"requested_amount": 1, "monthly_income": 1, "term_months": null, "banking_data": {
            "provider_name": null, "account_status": null, "credit_score": null, "total_debt": null,
            "monthly_obligations": null, "has_defaults": null, "average_monthly_income": null,
            "verified": null, "additional_data": null}}"#;
        let absent = r#"{"requested_amount": 1, "monthly_income": 1, "banking_data": {}}"#;
        for json in [nulls, absent] {
            let case = parse_case(json.as_bytes()).unwrap();
            assert_eq!(case.banking_data, BankingData::empty(""));
            assert_eq!(case.term_months, TermMonths::DEFAULT);
        }
    }

    #[test]
    fn each_bad_member_is_named_with_its_reason() {
        for (json, pointer, code) in [
            (with("requested_amount", "0"), "/requested_amount", "not_positive"),
            (with("requested_amount", "null"), "/requested_amount", "required"),
            (with("requested_amount", "1e3"), "/requested_amount", "bad_amount"),
            (with("requested_amount", "\"1_000\""), "/requested_amount", "bad_amount"),
            (with("monthly_income", "-1"), "/monthly_income", "bad_amount"),
            (with("monthly_income", "1.005"), "/monthly_income", "bad_amount"),
            (with("monthly_income", "{}"), "/monthly_income", "bad_amount"),
            (with("term_months", "5"), "/term_months", "out_of_range"),
            (with("term_months", "85"), "/term_months", "out_of_range"),
            (with("term_months", "36.0"), "/term_months", "out_of_range"),
            (with("term_months", "99999999999999999999"), "/term_months", "out_of_range"),
            (with("term_months", "\"36\""), "/term_months", "bad_type"),
            (with("banking_data", "null"), "/banking_data", "required"),
            (with("banking_data", "[]"), "/banking_data", "bad_type"),
            (with("term", "36"), "/term", "unknown_field"),
            (with("a/b~c", "36"), "/a~1b~0c", "unknown_field"),
            (with_told("credit_score", "299"), "/banking_data/credit_score", "out_of_range"),
            (with_told("credit_score", "851"), "/banking_data/credit_score", "out_of_range"),
            (with_told("credit_score", "true"), "/banking_data/credit_score", "bad_type"),
            (with_told("monthly_obligations", "-0.01"), "/banking_data/monthly_obligations", "bad_amount"),
            (with_told("has_defaults", "\"no\""), "/banking_data/has_defaults", "bad_type"),
            (with_told("verified", "1"), "/banking_data/verified", "bad_type"),
            (with_told("account_status", "{\"active\": null}"), "/banking_data/account_status", "bad_type"),
            (with_told("provider_name", "7"), "/banking_data/provider_name", "bad_type"),
            (with_told("additional_data", "[]"), "/banking_data/additional_data", "bad_type"),
            (with_told("score", "700"), "/banking_data/score", "unknown_field"),
        ] {
            assert_eq!(problems(&json), [(pointer.to_owned(), code)], "{json}");
        }
    }

    #[test]
    fn all_problems_come_in_one_answer() {
        let json = r#"{"requested_amount": "x", "term_months": 1, "term_months": 1, "colour": "red",
            "banking_data": {"credit_score": 1, "hat": 1}}"#;
        let found = problems(json);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(pointer, code)| (pointer.as_str(), *code)).collect();
        assert_eq!(
            found,
            [
                ("/requested_amount", "bad_amount"),
                ("/monthly_income", "required"),
                ("/term_months", "duplicate_field"),
                ("/term_months", "out_of_range"),
                ("/colour", "unknown_field"),
                ("/banking_data/credit_score", "out_of_range"),
                ("/banking_data/hat", "unknown_field"),
            ]
        );
    }

    #[test]
    fn what_is_no_json_object_is_malformed_and_is_not_repeated() {
        let endless = "[".repeat(100_000);
        for text in ["", "secret", "[]", "1", "\"a\"", "null", "{", r#"{"a": }"#, "{} {}", &endless] {
            match parse_case(text.as_bytes()) {
                Err(Error::Malformed(message)) => assert!(!message.to_string().contains("secret")),
                other => panic!("{text:.20}: {other:?}"),
            }
        }
        assert!(matches!(parse_case(b"{\"a\": \"\xff\"}"), Err(Error::Malformed(_))));
    }

    #[test]
    fn a_body_full_of_problems_is_answered_with_a_hundred() {
        let strangers: Vec<String> = (0..1000).map(|n| format!("\"x{n}\": 1")).collect();
        assert_eq!(problems(&format!("{{{}}}", strangers.join(","))).len(), MAX_PROBLEMS);
    }

    #[test]
    fn endless_nesting_is_a_problem_of_its_field() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let json = with_told("additional_data", &format!("{{\"a\": {deep}}}"));
        assert_eq!(problems(&json), [("/banking_data/additional_data".to_owned(), "bad_type")]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = parse_case(text.as_bytes());
            let _ = parse_case(&bytes);
            let _ = parse_case(with("requested_amount", &json!(text).to_string()).as_bytes());
            let _ = parse_case(with_told("credit_score", &json!(text).to_string()).as_bytes());
        }
    }
}
