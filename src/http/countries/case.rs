//! A case to decide, parsed from JSON for `POST /countries/{code}/evaluations` and `aval decide`.

use serde_json::{Map, Value};

use crate::domain::application::TermMonths;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::decision::Case;
use crate::domain::money::Money;
use crate::error::{Error, PublicMessage, Result};
use crate::http::request::request_body;
use crate::http::request::values::{account_status, credit_score, term_months};
use crate::http::schemas::{Amount, PositiveAmount};
use crate::json::{Members, boolean, exact_object, money, object, positive_money, string};

/// Maximum nesting of `additional_data`, counting the object itself as the first level.
const MAX_DEPTH: usize = 8;

request_body! {
    /// A case to decide.
    pub struct CaseRequest {
        /// The requested amount.
        #[schema(value_type = PositiveAmount, example = "15000.00")]
        requested_amount: Money = required(positive_money),
        /// The applicant's declared monthly income.
        #[schema(value_type = PositiveAmount, example = "3500.00")]
        monthly_income: Money = required(positive_money),
        /// The number of monthly instalments; the default is 36.
        #[schema(value_type = Option<u16>, minimum = 6, maximum = 84, example = 36)]
        term_months: Option<TermMonths> = optional(term_months),
        /// Whether to assume that another account applied with the same document within the preceding day.
        #[schema(example = false)]
        applied_elsewhere: Option<bool> = optional(boolean),
        /// The assumed report of the bureau. Absent members count as not reported.
        banking_data: ReportRequest = required(|raw| ReportRequest::read(object(raw)?)),
    }
}

request_body! {
    /// A bureau's report. All members are optional; absent or `null` members count as not reported.
    pub struct ReportRequest {
        /// The bureau's name.
        #[schema(example = "ASNEF-CIRBE")]
        provider_name: Option<String> = optional(string),
        /// `active`, `inactive`, `suspended` or `closed`; any other text counts as `unknown`.
        #[schema(value_type = Option<String>, example = "active")]
        account_status: Option<AccountStatus> = optional(account_status),
        /// The credit score on the common scale.
        #[schema(value_type = Option<u16>, minimum = 300, maximum = 850, example = 720)]
        credit_score: Option<CreditScore> = optional(credit_score),
        /// Total outstanding debt.
        #[schema(value_type = Option<Amount>, example = "12000.00")]
        total_debt: Option<Money> = optional(money),
        /// Monthly debt payments.
        #[schema(value_type = Option<Amount>, example = "300.00")]
        monthly_obligations: Option<Money> = optional(money),
        /// Whether there are overdue debts.
        #[schema(example = false)]
        has_defaults: Option<bool> = optional(boolean),
        /// Average monthly income.
        #[schema(value_type = Option<Amount>, example = "3450.00")]
        average_monthly_income: Option<Money> = optional(money),
        /// Whether the bureau has verified the person's record.
        verified: Option<bool> = optional(boolean),
        /// Markers: `fallback` for fallback figures, `thin_file` if the bureau has no record of the person.
        #[schema(value_type = Option<Object>)]
        additional_data: Option<Map<String, Value>> = optional(|raw| exact_object(raw, MAX_DEPTH)),
    }
}

impl From<CaseRequest> for Case {
    fn from(request: CaseRequest) -> Self {
        Self {
            requested_amount: request.requested_amount,
            monthly_income: request.monthly_income,
            term_months: request.term_months.unwrap_or(TermMonths::DEFAULT),
            banking_data: request.banking_data.into(),
            applied_elsewhere: request.applied_elsewhere.unwrap_or(false),
        }
    }
}

impl From<ReportRequest> for BankingData {
    fn from(report: ReportRequest) -> Self {
        Self {
            provider_name: report.provider_name.unwrap_or_default(),
            account_status: report.account_status,
            credit_score: report.credit_score,
            total_debt: report.total_debt,
            monthly_obligations: report.monthly_obligations,
            has_defaults: report.has_defaults,
            average_monthly_income: report.average_monthly_income,
            verified: report.verified,
            additional_data: report.additional_data.unwrap_or_default(),
        }
    }
}

/// Parses a case.
///
/// # Errors
/// [`Error::Malformed`] if the text is not a JSON object; [`Error::Validation`] with the field errors of its members.
pub fn parse_case(json: &[u8]) -> Result<Case> {
    let members: Members<'_> = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    Ok(CaseRequest::read(members)?.into())
}

/// Reports the position of a syntax error without quoting the text.
fn malformed(error: &serde_json::Error) -> Error {
    let what = if error.is_data() { "is not a JSON object" } else { "is not valid JSON" };
    let text = format!("the case {what} (line {}, column {})", error.line(), error.column());
    Error::Malformed(PublicMessage::new(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::http::request::MAX_UNKNOWN_REPORTED;
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

    /// Pointers and codes of the field errors.
    fn field_errors(json: &str) -> Vec<(String, &'static str)> {
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
            assert_eq!(field_errors(&json), [(pointer.to_owned(), code)], "{json}");
        }
    }

    #[test]
    fn all_field_errors_are_reported_together() {
        let json = r#"{"requested_amount": "x", "term_months": 1, "term_months": 1, "colour": "red",
            "banking_data": {"credit_score": 1, "hat": 1}}"#;
        let found = field_errors(json);
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
        let unknown: Vec<String> = (0..1000).map(|n| format!("\"x{n}\": 1")).collect();
        let missing = field_errors("{}").len();
        assert_eq!(field_errors(&format!("{{{}}}", unknown.join(","))).len(), MAX_UNKNOWN_REPORTED + missing);
    }

    #[test]
    fn deep_nesting_is_reported_for_its_field() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let json = with_banking_data("additional_data", &format!("{{\"a\": {deep}}}"));
        assert_eq!(field_errors(&json), [("/banking_data/additional_data".to_owned(), "too_deep")]);
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
