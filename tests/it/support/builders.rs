//! Applications as clients send them.

use aval::domain::application::Country;
use serde_json::{Value, json};

/// Each country's sample document from the specification.
pub(crate) const SAMPLES: [(Country, &str); 6] = [
    (Country::Es, "12345678Z"),
    (Country::Pt, "123456789"),
    (Country::It, "RSSMRA80A01H501U"),
    (Country::Mx, "HERM850101MDFRRR08"),
    (Country::Co, "1234567890"),
    (Country::Br, "12345678909"),
];

/// An application that its country's rules approve if the bureau's report is clean.
pub(crate) fn body(country: Country, document: &str) -> Value {
    let (amount, income) = match country {
        Country::Es | Country::Pt | Country::It => ("6000.00", "3000.00"),
        Country::Mx => ("60000.00", "40000.00"),
        Country::Co => ("9000000.00", "6000000.00"),
        Country::Br => ("12000.00", "9000.00"),
    };
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
