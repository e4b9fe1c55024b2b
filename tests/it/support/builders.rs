//! Applications as clients send them.

use aval::domain::application::Country;
use aval::providers::simulator::record::typical_monthly_income;
use aval::providers::simulator::scenario::Scenario;
use aval::providers::simulator::test_documents::test_documents;
use serde_json::{Value, json};

/// Each country's document with a clean record, in the order of [`Country::ALL`].
pub(crate) fn samples() -> Vec<(Country, &'static str)> {
    let clean = test_documents().filter(|row| row.scenario == Scenario::Approve);
    clean.map(|row| (row.country, row.document)).collect()
}

/// An amount and an income that the country's rules approve when the bureau's report is clean.
pub(crate) fn approvable(country: Country) -> (String, String) {
    let income = if country.currency() == "EUR" { 3_000 } else { typical_monthly_income(country) };
    (format!("{}.00", 2 * income), format!("{income}.00"))
}

/// An application that its country's rules approve if the bureau's report is clean.
pub(crate) fn body(country: Country, document: &str) -> Value {
    let (amount, income) = approvable(country);
    json!({
        "country": country.code(),
        "full_name": "Ana García López",
        "identity_document": document,
        "requested_amount": amount,
        "monthly_income": income,
    })
}

/// An approvable Spanish application.
pub(crate) fn spanish() -> Value {
    body(Country::Es, "12345678Z")
}

/// `base` with one member replaced.
pub(crate) fn with(mut base: Value, name: &str, value: impl Into<Value>) -> Value {
    base[name] = value.into();
    base
}
