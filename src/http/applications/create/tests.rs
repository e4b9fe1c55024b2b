use actix_web::web::Bytes;
use chrono::TimeZone as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::telemetry::labels::KnownLabels;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 15, 12, 0, 0).unwrap()
}

fn read(body: &str) -> Result<Draft, Refused> {
    let body = JsonObject::check(Bytes::copy_from_slice(body.as_bytes())).unwrap();
    read_draft(&body, &Countries::built_in().unwrap(), now()).unwrap()
}

/// Pointer and code of each field error.
fn field_errors(body: &str) -> Vec<(String, &'static str)> {
    let refused = read(body).expect_err(body);
    refused.field_errors.into_iter().map(|field_error| (field_error.pointer, field_error.code)).collect()
}

/// A valid request with one member replaced, or omitted when `value` is empty.
fn with(name: &str, value: &str) -> String {
    let usual = [
        ("country", "\"ES\""),
        ("full_name", "\"Ana García\""),
        ("identity_document", "\"12345678Z\""),
        ("requested_amount", "15000"),
        ("monthly_income", "\"3500.50\""),
    ];
    let mut members: Vec<String> = usual
        .iter()
        .filter(|(member, _)| *member != name)
        .map(|(member, value)| format!("\"{member}\": {value}"))
        .collect();
    if !value.is_empty() {
        members.push(format!("\"{name}\": {value}"));
    }
    format!("{{{}}}", members.join(", "))
}

#[test]
fn a_valid_request_is_read_exactly() {
    let draft = read(&with("term_months", "48")).unwrap();
    assert_eq!(draft.country, Country::Es);
    assert_eq!(draft.full_name.reveal(), "Ana García");
    assert_eq!(draft.identity_document.reveal(), "12345678Z");
    assert_eq!(draft.requested_amount.to_string(), "15000.00");
    assert_eq!(draft.monthly_income.to_string(), "3500.50");
    assert_eq!(draft.term_months.get(), 48);
    assert!(draft.country_specific_data.is_empty());
    assert_eq!(read(&with("term_months", "null")).unwrap().term_months, TermMonths::DEFAULT);
    let separated = read(&with("identity_document", "\" 12.345.678-z \"")).unwrap();
    assert_eq!(separated.identity_document.reveal(), "12345678Z");
    assert_eq!(read(&with("country", "\"es\"")).unwrap().country, Country::Es);
}

#[test]
fn each_invalid_member_is_reported_with_its_code() {
    let long_name = format!("\"{}\"", "é".repeat(256));
    let long_document = format!("\"{}\"", " ".repeat(51));
    for (name, value, code) in [
        ("country", "", "required"),
        ("country", "null", "required"),
        ("country", "\"FR\"", "unknown_country"),
        ("country", "34", "bad_type"),
        ("country", "[\"ES\"]", "bad_type"),
        ("full_name", "\"\"", "bad_name"),
        ("full_name", "\"\\u3164\\u200b\"", "bad_name"),
        ("full_name", "\" \\t \"", "bad_name"),
        ("full_name", "\"Ana\\u0000\"", "bad_name"),
        ("full_name", "\"\\ud800\"", "bad_type"),
        ("full_name", &long_name, "bad_name"),
        ("full_name", "7", "bad_type"),
        ("identity_document", "", "required"),
        ("identity_document", "12345678", "bad_type"),
        ("identity_document", "\"12345678A\"", "bad_check_digit"),
        ("identity_document", "\"1234567\\u00008Z\"", "bad_format"),
        ("identity_document", &long_document, "bad_length"),
        ("requested_amount", "", "required"),
        ("requested_amount", "0", "not_positive"),
        ("requested_amount", "-1", "bad_amount"),
        ("requested_amount", "1e3", "bad_amount"),
        ("requested_amount", "1e999", "bad_amount"),
        ("requested_amount", "0.001", "bad_amount"),
        ("requested_amount", "10000000000", "bad_amount"),
        ("requested_amount", "99999999999999999999999999999999", "bad_amount"),
        ("requested_amount", "true", "bad_amount"),
        ("monthly_income", "\"1_000\"", "bad_amount"),
        ("monthly_income", "\"NaN\"", "bad_amount"),
        ("monthly_income", "\" 1\"", "bad_amount"),
        ("monthly_income", "{}", "bad_amount"),
        ("term_months", "5", "out_of_range"),
        ("term_months", "85", "out_of_range"),
        ("term_months", "36.5", "out_of_range"),
        ("term_months", "1e400", "out_of_range"),
        ("term_months", "\"36\"", "bad_type"),
        ("country_specific_data", "[]", "bad_type"),
        ("status", "\"APPROVED\"", "unknown_field"),
        ("risk_score", "0", "unknown_field"),
    ] {
        assert_eq!(field_errors(&with(name, value)), [(format!("/{name}"), code)], "{name} {value:.40}");
    }
}

#[test]
fn a_member_of_the_data_is_refused_with_its_own_pointer() {
    for (data, pointer, code) in [
        (r#"{"birth_date": "yesterday"}"#, "/country_specific_data/birth_date", "bad_date"),
        (r#"{"rent": {"rent": 1, "rent": 2}}"#, "/country_specific_data/rent", "unknown_field"),
    ] {
        assert_eq!(
            field_errors(&with("country_specific_data", data)),
            [(pointer.to_owned(), code)],
            "{data}"
        );
    }
}

#[test]
fn all_field_errors_of_a_request_are_reported_together() {
    let body = r#"{"country": "ES", "identity_document": "12345678A", "monthly_income": 0, "term_months": 1, "x": 1}"#;
    let expected = [
        ("/full_name", "required"),
        ("/requested_amount", "required"),
        ("/monthly_income", "not_positive"),
        ("/term_months", "out_of_range"),
        ("/identity_document", "bad_check_digit"),
        ("/x", "unknown_field"),
    ];
    assert_eq!(field_errors(body), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    assert_eq!(field_errors("{}").len(), 5);
}

#[test]
fn values_from_the_document_replace_those_of_the_client() {
    let body = json!({
        "country": "IT", "full_name": "Mario Rossi", "identity_document": "RSSMRA80A01H501U",
        "requested_amount": "10000", "monthly_income": "3000",
        "country_specific_data": {"birth_date": "2001-02-03", "sex": "female", "employer": "Acme"},
    });
    let draft = read(&body.to_string()).unwrap();
    assert_eq!(Value::Object(draft.country_specific_data), json!({"sex": "male", "employer": "Acme"}));
    assert_eq!(draft.birth_date.unwrap().reveal(), "1980-01-01");
    let without_document_data = with("country_specific_data", r#"{"birth_date": "2001-02-03"}"#);
    let draft = read(&without_document_data).unwrap();
    assert!(draft.country_specific_data.is_empty());
    assert_eq!(draft.birth_date.unwrap().reveal(), "2001-02-03");
}

#[test]
fn refusals_are_counted_by_country_and_reason() {
    let metrics = Metrics::new(&KnownLabels::default()).unwrap();
    read(&with("identity_document", "\"12345678A\"")).unwrap_err().count(&metrics);
    read(&with("country", "\"FR\"")).unwrap_err().count(&metrics);
    let errors = &metrics.applications_validation_errors_total;
    assert_eq!(errors.with_label_values(&["ES", "bad_check_digit"]).get(), 1);
    assert_eq!(errors.with_label_values(&["unknown", "unknown_country"]).get(), 1);
}

/// Arbitrary JSON whose members may have the names of request members.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["ES", "IT", "12345678Z", "15000.00", "RSSMRA80A01H501U"])
            .prop_map(Value::from),
    ];
    let names = || {
        let known = vec![
            "country",
            "full_name",
            "identity_document",
            "requested_amount",
            "monthly_income",
            "term_months",
            "country_specific_data",
        ];
        prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => any::<String>()]
    };
    leaf.prop_recursive(4, 32, 7, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_accepted_or_refused_for_a_reason(value in any_json()) {
        let countries = Countries::built_in().unwrap();
        match JsonObject::check(Bytes::from(value.to_string())) {
            Err(error) => prop_assert!(matches!(error, Error::Malformed(_))),
            Ok(body) => match read_draft(&body, &countries, now()).unwrap() {
                Ok(_) => prop_assert!(value.is_object()),
                Err(refused) => prop_assert!(!refused.field_errors.is_empty()),
            },
        }
    }
}
