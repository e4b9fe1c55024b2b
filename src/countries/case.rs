//! Parses a case from JSON and reports all problems at once.
//!
//! Used by the what-if endpoint `POST /countries/{code}/evaluations` and by `aval decide`. Members are parsed from
//! their exact text, which amounts require. Each problem becomes a [`FieldError`](crate::error::FieldError) with a JSON
//! pointer. Unknown and duplicate members are problems too: they are mistakes that would otherwise change a decision
//! silently. Only the first few unknown members are reported, which bounds the size of the answer.

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::application::TermMonths;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::decision::Case;
use crate::domain::json::exact_object;
use crate::domain::members::{
    Fields, Members, Problems, Refusal, bad_type, boolean, money, object, positive_money, string,
    term_months, whole_number,
};
use crate::error::{Error, PublicMessage, Result};

/// Deepest nesting of `additional_data`, counting itself as the first level.
const MAX_DEPTH: usize = 8;

/// Parses `{requested_amount, monthly_income, term_months?, applied_elsewhere?, banking_data}`. A member of
/// `banking_data` that is absent or `null` is unknown. `term_months` defaults to 36, `applied_elsewhere` to false.
///
/// # Errors
/// [`Error::Malformed`] if the text is not a JSON object; [`Error::Validation`] with the problems of its members.
pub fn parse_case(json: &[u8]) -> Result<Case> {
    let members: Members<'_> = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    let mut problems = Problems::default();
    let mut fields = Fields::new(members, "", &mut problems);
    let requested_amount = fields.required("requested_amount", positive_money);
    let monthly_income = fields.required("monthly_income", positive_money);
    let term_months = fields.optional("term_months", term_months);
    let applied_elsewhere = fields.optional("applied_elsewhere", boolean);
    let banking_members = fields.required("banking_data", object);
    fields.refuse_the_rest();
    let banking_data = banking_members.map(|members| banking_data(members, &mut problems));
    match (requested_amount, monthly_income, banking_data, problems.0.is_empty()) {
        (Some(requested_amount), Some(monthly_income), Some(banking_data), true) => Ok(Case {
            requested_amount,
            monthly_income,
            term_months: term_months.unwrap_or(TermMonths::DEFAULT),
            banking_data,
            applied_elsewhere: applied_elsewhere.unwrap_or(false),
        }),
        _ => Err(Error::Validation(problems.0)),
    }
}

/// Reports the position of a syntax error without quoting the text.
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

fn credit_score(raw: &RawValue) -> Result<CreditScore, Refusal> {
    let refusal = || ("out_of_range", "must be a whole number from 300 to 850".to_owned());
    whole_number(raw)?.and_then(CreditScore::new).ok_or_else(refusal)
}

fn account_status(raw: &RawValue) -> Result<AccountStatus, Refusal> {
    let text = string(raw)?;
    let status: Result<AccountStatus, ValueError> = AccountStatus::deserialize(text.into_deserializer());
    status.ok().ok_or_else(|| bad_type("a string"))
}

fn any_object(raw: &RawValue) -> Result<Map<String, Value>, Refusal> {
    exact_object(raw, MAX_DEPTH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::domain::members::MAX_UNKNOWN_REPORTED;
    use serde_json::json;

    use super::*;

    const WHOLE: &str = r#"{
        "requested_amount": "15000.00",
        "monthly_income": 3500,
        "term_months": 48,
        "applied_elsewhere": true,
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

    /// Pointers and codes of the problems.
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

    fn with_banking_data(name: &str, value: &str) -> String {
        with("banking_data", &format!("{{\"{name}\": {value}}}"))
    }

    #[test]
    fn a_complete_case_is_parsed_exactly() {
        let case = parse_case(WHOLE.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(&case).unwrap(),
            json!({
                "requested_amount": "15000.00",
                "monthly_income": "3500.00",
                "term_months": 48,
                "applied_elsewhere": true,
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
        assert_eq!(parse_case(&written).unwrap(), case, "a serialized case can be parsed again");
    }

    #[test]
    fn absent_and_null_members_are_unknown() {
        let nulls = r#"{"requested_amount": 1, "monthly_income": 1, "term_months": null, "applied_elsewhere": null, "banking_data": {
            "provider_name": null, "account_status": null, "credit_score": null, "total_debt": null,
            "monthly_obligations": null, "has_defaults": null, "average_monthly_income": null,
            "verified": null, "additional_data": null}}"#;
        let absent = r#"{"requested_amount": 1, "monthly_income": 1, "banking_data": {}}"#;
        for json in [nulls, absent] {
            let case = parse_case(json.as_bytes()).unwrap();
            assert_eq!(case.banking_data, BankingData::empty(""));
            assert_eq!((case.term_months, case.applied_elsewhere), (TermMonths::DEFAULT, false));
        }
    }

    #[test]
    fn each_invalid_member_is_reported_with_its_reason() {
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
            (with("applied_elsewhere", "\"yes\""), "/applied_elsewhere", "bad_type"),
            (with("banking_data", "null"), "/banking_data", "required"),
            (with("banking_data", "[]"), "/banking_data", "bad_type"),
            (with("term", "36"), "/term", "unknown_field"),
            (with("a/b~c", "36"), "/a~1b~0c", "unknown_field"),
            (with_banking_data("credit_score", "299"), "/banking_data/credit_score", "out_of_range"),
            (with_banking_data("credit_score", "851"), "/banking_data/credit_score", "out_of_range"),
            (with_banking_data("credit_score", "true"), "/banking_data/credit_score", "bad_type"),
            (
                with_banking_data("monthly_obligations", "-0.01"),
                "/banking_data/monthly_obligations",
                "bad_amount",
            ),
            (with_banking_data("has_defaults", "\"no\""), "/banking_data/has_defaults", "bad_type"),
            (with_banking_data("verified", "1"), "/banking_data/verified", "bad_type"),
            (
                with_banking_data("account_status", "{\"active\": null}"),
                "/banking_data/account_status",
                "bad_type",
            ),
            (with_banking_data("provider_name", "7"), "/banking_data/provider_name", "bad_type"),
            (with_banking_data("additional_data", "[]"), "/banking_data/additional_data", "bad_type"),
            (with_banking_data("score", "700"), "/banking_data/score", "unknown_field"),
        ] {
            assert_eq!(problems(&json), [(pointer.to_owned(), code)], "{json}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
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
    fn other_texts_are_malformed_and_not_quoted() {
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
    fn only_the_first_unknown_members_are_reported() {
        let strangers: Vec<String> = (0..1000).map(|n| format!("\"x{n}\": 1")).collect();
        let missing = problems("{}").len();
        assert_eq!(problems(&format!("{{{}}}", strangers.join(","))).len(), MAX_UNKNOWN_REPORTED + missing);
    }

    #[test]
    fn deep_nesting_is_reported_for_its_field() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let json = with_banking_data("additional_data", &format!("{{\"a\": {deep}}}"));
        assert_eq!(problems(&json), [("/banking_data/additional_data".to_owned(), "too_deep")]);
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = parse_case(text.as_bytes());
            let _ = parse_case(&bytes);
            let _ = parse_case(with("requested_amount", &json!(text).to_string()).as_bytes());
            let _ = parse_case(with_banking_data("credit_score", &json!(text).to_string()).as_bytes());
        }
    }
}
