//! `POST /api/v1/test/inject-failure`: fault injection. The route exists only if `faults.injection` is on.

use actix_web::HttpResponse;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::HttpState;
use super::body::JsonObject;
use super::problem::HandlerResult;
use super::request::request_body;
use super::request::values::{country, text};
use super::schemas::enum_schemas;
use crate::domain::application::Country;
use crate::error::{Error, PublicMessage, Result};
use crate::json::{Refusal, whole_number};
use crate::supervision::faults::FaultPoint;

/// Maximum number of failures that can be armed at a time.
const MAX_COUNT: u32 = 10_000;

/// The component that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The next calls to the country's simulated bureau.
    Provider,
    /// The next actors that reach the fault point.
    Actor(FaultPoint),
}

/// The targets by name.
const TARGETS: [(&str, Target); 11] = [
    ("provider", Target::Provider),
    ("application_actor", Target::Actor(FaultPoint::ApplicationActor)),
    ("provider_gateway", Target::Actor(FaultPoint::ProviderGateway)),
    ("write_batcher", Target::Actor(FaultPoint::WriteBatcher)),
    ("scheduler", Target::Actor(FaultPoint::Scheduler)),
    ("supervisor", Target::Actor(FaultPoint::Supervisor)),
    ("outbox_relay", Target::Actor(FaultPoint::OutboxRelay)),
    ("broadcaster", Target::Actor(FaultPoint::Broadcaster)),
    ("housekeeper", Target::Actor(FaultPoint::Housekeeper)),
    ("view_recorder", Target::Actor(FaultPoint::ViewRecorder)),
    ("event_consumer", Target::Actor(FaultPoint::EventConsumer)),
];

enum_schemas! {
    /// The targets of fault injection.
    FaultTarget: TARGETS.map(|(name, _)| name), "The target of an injected fault";
}

request_body! {
    /// A fault to inject.
    pub struct FaultRequest {
        /// The country whose bureau or actors fail. Required for `provider`. For actors that work for one country, the
        /// default is any country; for other actors it is ignored.
        #[schema(value_type = Option<super::schemas::CountryCode>)]
        country: Option<Country> = optional(text(country)),
        /// The number of failures; 0 disarms the fault.
        #[schema(minimum = 0, maximum = 10000, example = 5)]
        failure_count: u32 = required(failure_count),
        /// The component that fails: `provider` (the default), `application_actor`, `provider_gateway`,
        /// `write_batcher`, `scheduler`, `supervisor`, `outbox_relay`, `broadcaster`, `housekeeper`, `view_recorder` or
        /// `event_consumer`.
        #[schema(value_type = Option<FaultTarget>, example = "provider")]
        target: Option<(&'static str, Target)> = optional(text(target)),
    }
}

/// An armed fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ArmedFault {
    /// The component that fails.
    #[schema(value_type = FaultTarget, example = "provider")]
    pub target: &'static str,
    /// The country; `null` for all countries.
    #[schema(value_type = Option<super::schemas::CountryCode>)]
    pub country: Option<Country>,
    /// The number of failures.
    #[schema(example = 5)]
    pub failure_count: u32,
}

/// Makes a bureau or an actor fail.
///
/// The simulator responds to the bureau's next calls with a 503. An actor panics while processing a message.
#[utoipa::path(
    post,
    path = "/api/v1/test/inject-failure",
    operation_id = "inject_failure",
    tag = "operations",
    request_body(
        content = FaultRequest,
        example = json!({"country": "ES", "failure_count": 5}),
    ),
    responses(
        (status = 200, description = "The armed fault", body = ArmedFault),
        (status = 409, description = "The country does not use the built-in simulator"),
    ),
)]
pub(super) async fn inject_failure(state: HttpState, body: JsonObject) -> HandlerResult {
    let (armed, target) = parse(&body)?;
    match (target, armed.country) {
        (Target::Provider, Some(country)) => fail_bureau(&state, country, armed.failure_count)?,
        (Target::Provider, None) => {
            return Err(Error::field("/country", "required", "is required for provider").into());
        }
        (Target::Actor(point), country) => {
            state.resources.faults.arm(point, country.map(Country::code), armed.failure_count)?;
        }
    }
    Ok(HttpResponse::Ok().json(armed))
}

fn parse(body: &JsonObject) -> Result<(ArmedFault, Target)> {
    let FaultRequest { country, failure_count, target } = FaultRequest::read(body.members()?)?;
    let (name, target) = target.unwrap_or(("provider", Target::Provider));
    let country = country.filter(|_| is_per_country(target));
    Ok((ArmedFault { target: name, country, failure_count }, target))
}

fn is_per_country(target: Target) -> bool {
    match target {
        Target::Provider => true,
        Target::Actor(point) => point.has_scope(),
    }
}

fn failure_count(raw: &RawValue) -> Result<u32, Refusal> {
    let count = whole_number(raw)?.and_then(|count| u32::try_from(count).ok());
    let refusal = || ("out_of_range", format!("must be a whole number from 0 to {MAX_COUNT}"));
    count.filter(|count| *count <= MAX_COUNT).ok_or_else(refusal)
}

fn target(text: &str) -> Result<(&'static str, Target), Refusal> {
    let refusal =
        || ("unknown_target", format!("must be one of {}", TARGETS.map(|(name, _)| name).join(", ")));
    TARGETS.into_iter().find(|(name, _)| *name == text).ok_or_else(refusal)
}

fn fail_bureau(state: &HttpState, country: Country, count: u32) -> Result<()> {
    let uses_simulator = state.resources.settings.providers.of(country).base_url.is_none();
    match &state.simulator {
        Some(simulator) if uses_simulator => {
            simulator.script().fail_next(country, count);
            Ok(())
        }
        _ => Err(Error::Conflict(PublicMessage::new("This country does not use the built-in simulator."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::Bytes;

    fn read(json: &'static str) -> Result<(ArmedFault, Target), Vec<(String, &'static str)>> {
        parse(&JsonObject::check(Bytes::from_static(json.as_bytes())).unwrap()).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_fault_has_a_target_a_country_and_a_count() {
        let (armed, target) = read(r#"{"country": "es", "failure_count": 5}"#).unwrap();
        assert_eq!((armed.target, armed.country, armed.failure_count), ("provider", Some(Country::Es), 5));
        assert_eq!(target, Target::Provider);
        let (armed, target) =
            read(r#"{"country": "ES", "failure_count": 0, "target": "write_batcher"}"#).unwrap();
        assert_eq!((armed.country, target), (None, Target::Actor(FaultPoint::WriteBatcher)));
    }

    #[test]
    fn all_field_errors_of_a_fault_are_reported_together() {
        let problems =
            read(r#"{"country": "XX", "failure_count": -1, "target": 7, "extra": null}"#).unwrap_err();
        let expected = [
            ("/country", "unknown_country"),
            ("/failure_count", "out_of_range"),
            ("/target", "bad_type"),
            ("/extra", "unknown_field"),
        ];
        assert_eq!(problems, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
        assert_eq!(read("{}").unwrap_err(), [("/failure_count".to_owned(), "required")]);
        assert_eq!(read(r#"{"failure_count": 10001}"#).unwrap_err().len(), 1);
    }
}
