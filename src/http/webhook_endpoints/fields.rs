//! Readers of the members that creating and changing an endpoint share.

use serde_json::value::RawValue;

use crate::deliveries::Deliveries;
use crate::deliveries::address::Target;
use crate::domain::application::Country;
use crate::domain::delivery::Algorithm;
use crate::http::request::Refusals;
use crate::http::request::values::country;
use crate::json::{Refusal, bad_type, string};

const MAX_DESCRIPTION_CHARS: usize = 500;
const MAX_EVENT_TYPES: usize = 100;

/// Reads a URL that the settings allow. Its host is resolved and checked at every attempt.
pub(super) fn url(deliveries: &Deliveries) -> impl Fn(&RawValue) -> Result<String, Refusal> {
    move |raw| {
        let url = string(raw)?;
        let refusal = |why: crate::deliveries::address::ForbiddenUrl| ("bad_url", why.as_str().to_owned());
        Target::parse(&url, deliveries.settings()).map_err(refusal)?;
        Ok(url)
    }
}

pub(super) fn description(raw: &RawValue) -> Result<String, Refusal> {
    let text = string(raw)?;
    let fits = text.chars().count() <= MAX_DESCRIPTION_CHARS && !text.chars().any(char::is_control);
    let refusal = || {
        ("bad_text", format!("must be at most {MAX_DESCRIPTION_CHARS} characters without control characters"))
    };
    if fits { Ok(text) } else { Err(refusal()) }
}

/// Reads each string of an array and reports refusals at their positions. Repeated values are left out.
fn each<T: PartialEq>(raw: &RawValue, read: impl Fn(&str) -> Result<T, Refusal>) -> Result<Vec<T>, Refusals> {
    let texts: Vec<String> =
        serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("an array of strings"))?;
    let (mut values, mut refusals) = (Vec::new(), Refusals::default());
    for (position, text) in texts.iter().enumerate() {
        match read(text) {
            Ok(value) if values.contains(&value) => {}
            Ok(value) => values.push(value),
            Err(refusal) => refusals.add(format!("/{position}"), refusal),
        }
    }
    refusals.into_result(values)
}

/// Reads event types and families.
pub(super) fn event_types(deliveries: &Deliveries) -> impl Fn(&RawValue) -> Result<Vec<String>, Refusals> {
    move |raw| {
        let known = |text: &str| {
            let refusal = || {
                let detail = "must be an event type such as application.created.v1, a family such as application.*, or *";
                ("unknown_event_type", detail.to_owned())
            };
            if deliveries.is_event_type(text) { Ok(text.to_owned()) } else { Err(refusal()) }
        };
        let types = each(raw, known)?;
        match types.len() {
            0 => Err(("required", "must contain at least one event type".to_owned()).into()),
            1..=MAX_EVENT_TYPES => Ok(types),
            _ => Err(("too_many", format!("must contain at most {MAX_EVENT_TYPES} event types")).into()),
        }
    }
}

pub(super) fn countries(raw: &RawValue) -> Result<Vec<Country>, Refusals> {
    each(raw, country)
}

pub(super) fn algorithm(text: &str) -> Result<Algorithm, Refusal> {
    let refusal = |_unknown| ("unknown_value", "must be v1 or v1a".to_owned());
    text.parse().map_err(refusal)
}
