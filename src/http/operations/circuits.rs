//! `GET /api/v1/admin/circuits` and `PUT /api/v1/admin/circuits/{code}`

use actix_web::HttpResponse;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::expiry;
use crate::actors::provider_gateway::BreakerStatus;
use crate::domain::application::Country;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::{CountryPath, RequestContext};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{required_reason, text};
use crate::json::Refusal;
use crate::lending::circuits::{self, CircuitOverride, SetOverride};
use crate::providers::provider_for;
use crate::resilience::circuit_breaker::CircuitMode;

/// Maximum duration of a breaker forced open.
const MAX_FORCED_OPEN: TimeDelta = TimeDelta::days(30);
/// Maximum duration of a breaker forced closed, during which its protection is off.
const MAX_FORCED_CLOSED: TimeDelta = TimeDelta::hours(24);

/// An operator's override of a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OverrideView {
    /// `forced_open` or `forced_closed`.
    #[schema(value_type = crate::http::schemas::ForcedCircuitMode, example = "forced_open")]
    pub mode: &'static str,
    /// The reason for the override.
    #[schema(example = "The bureau has announced maintenance")]
    pub reason: Option<String>,
    /// The operator who set the override.
    #[schema(example = "ana.garcia")]
    pub set_by: String,
    /// When the override was set.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub set_at: DateTime<Utc>,
    /// When the override ends and the breaker works automatically again.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<CircuitOverride> for OverrideView {
    fn from(known: CircuitOverride) -> Self {
        Self {
            mode: known.mode.as_str(),
            reason: known.reason,
            set_by: known.set_by,
            set_at: known.set_at,
            expires_at: known.expires_at,
        }
    }
}

/// State of a breaker on the responding instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitStateView {
    /// `closed`, `open` or `half_open`.
    #[schema(value_type = crate::http::schemas::CircuitState, example = "closed")]
    pub state: &'static str,
    /// The mode in effect: `auto`, `forced_open` or `forced_closed`. It may lag behind a change for a moment.
    #[schema(value_type = crate::http::schemas::CircuitModeName, example = "auto")]
    pub mode: &'static str,
    /// Number of consecutive failures while closed.
    #[schema(example = 0)]
    pub consecutive_failures: u32,
    /// Number of calls in the window while closed.
    #[schema(example = 12)]
    pub calls: u32,
    /// Number of failed calls in the window.
    #[schema(example = 1)]
    pub failures: u32,
    /// Number of slow calls in the window.
    #[schema(example = 0)]
    pub slow: u32,
    /// Time since the breaker was last closed, in milliseconds; 0 while it is closed.
    #[schema(example = 0)]
    pub not_closed_for_ms: u64,
    /// Number of times that the breaker has opened since this instance's provider gateway started.
    #[schema(example = 0)]
    pub opened_count: u64,
    /// Number of calls in flight.
    #[schema(example = 3)]
    pub in_flight: u32,
    /// Number of queued calls.
    #[schema(example = 0)]
    pub queued: u64,
}

impl From<&BreakerStatus> for CircuitStateView {
    fn from(status: &BreakerStatus) -> Self {
        let breaker = &status.snapshot;
        Self {
            state: breaker.state.as_str(),
            mode: breaker.mode.as_str(),
            consecutive_failures: breaker.consecutive_failures,
            calls: breaker.calls,
            failures: breaker.failures,
            slow: breaker.slow,
            not_closed_for_ms: u64::try_from(breaker.not_closed_for.as_millis()).unwrap_or(u64::MAX),
            opened_count: breaker.opened_count,
            in_flight: status.in_flight,
            queued: u64::try_from(status.queued).unwrap_or(u64::MAX),
        }
    }
}

/// A country's circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitView {
    /// The country.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Country,
    /// The country's bureau.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: &'static str,
    /// The override, which applies on every instance; `null` if there is none.
    #[serde(rename = "override")]
    pub forced: Option<OverrideView>,
    /// State on the responding instance; `null` if that instance does not call bureaus.
    pub here: Option<CircuitStateView>,
}

/// The circuit breakers of all countries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitList {
    /// The responding instance. Each instance has its own breakers; `here` describes those of this instance.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// One entry per country.
    pub circuits: Vec<CircuitView>,
}

/// Lists the circuit breakers and their overrides.
#[utoipa::path(
    get,
    path = "/api/v1/admin/circuits",
    operation_id = "list_circuits",
    tag = "operations",
    responses((status = 200, description = "The circuit breakers of all countries", body = CircuitList)),
)]
pub(in crate::http) async fn list(state: HttpState) -> HandlerResult {
    let known = circuits::list(&state.resources).await?;
    let breakers = state.operations.breakers().await;
    let circuits = Country::ALL.into_iter().map(|country| {
        let forced = known.iter().find(|known| known.country == country);
        view(country, forced.cloned(), &breakers)
    });
    Ok(HttpResponse::Ok()
        .json(CircuitList { instance: state.resources.instance.to_string(), circuits: circuits.collect() }))
}

fn view(country: Country, forced: Option<CircuitOverride>, breakers: &[BreakerStatus]) -> CircuitView {
    let here = breakers.iter().find(|status| status.country == country);
    CircuitView {
        country,
        provider: provider_for(country).name(),
        forced: forced.filter(|known| known.mode != CircuitMode::Auto).map(OverrideView::from),
        here: here.map(CircuitStateView::from),
    }
}

request_body! {
    /// A change to the override of a breaker.
    pub struct CircuitRequest given(now: DateTime<Utc>) {
        /// `auto`: the breaker works automatically, starting closed with its counters reset. `forced_open`: all calls
        /// to the bureau are refused. `forced_closed`: all calls are allowed, regardless of the bureau's responses.
        #[schema(value_type = crate::http::schemas::CircuitModeName, example = "forced_open")]
        mode: CircuitMode = required(text(circuit_mode)),
        /// The reason; required unless the mode is `auto`.
        #[schema(max_length = 500, example = "The bureau has announced maintenance")]
        reason: Option<String> = required_when(is_forced(mode), required_reason),
        /// When the override ends; required unless the mode is `auto`. At most 30 days ahead for `forced_open`, 24
        /// hours for `forced_closed`.
        #[schema(example = "2026-11-22T18:00:00Z")]
        expires_at: Option<DateTime<Utc>> = required_when(is_forced(mode), |raw| override_end(raw, mode, now)),
    }
}

/// Forces a circuit breaker open or closed on every instance, or returns it to automatic mode.
///
/// Instances that receive the notification apply the change immediately, others within `jobs.poll_interval_ms`. The
/// latest change applies; all changes are recorded.
#[utoipa::path(
    put,
    path = "/api/v1/admin/circuits/{code}",
    operation_id = "set_circuit",
    tag = "operations",
    params(("code" = crate::http::schemas::CountryCode, Path, description = "The country, as an ISO 3166-1 alpha-2 code; case is ignored")),
    request_body(
        content = CircuitRequest,
        example = json!({"mode": "forced_open", "reason": "The bureau has announced maintenance",
            "expires_at": "2026-11-22T18:00:00Z"}),
    ),
    responses(
        (status = 200, description = "The circuit breaker; `here` may show the change only after a moment", body = CircuitView),
        (status = 404, description = "Country not supported"),
    ),
)]
pub(in crate::http) async fn set(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    CountryPath(country): CountryPath,
    body: JsonObject,
) -> HandlerResult {
    let request = CircuitRequest::read(body.members()?, state.resources.clock.now())?;
    let CircuitRequest { mode, reason, expires_at } = request;
    let wanted = SetOverride {
        country,
        mode,
        reason,
        account: principal.account,
        request_id: context.request_id.to_string(),
        expires_at,
    };
    let known = circuits::set(&state.resources, &state.operations.overrides, &wanted).await?;
    let breakers = state.operations.breakers().await;
    Ok(HttpResponse::Ok().json(view(country, Some(known), &breakers)))
}

fn circuit_mode(text: &str) -> Result<CircuitMode, Refusal> {
    let refusal = || {
        let names = CircuitMode::ALL.map(CircuitMode::as_str).join(", ");
        ("unknown_mode", format!("must be one of {names}"))
    };
    text.parse().ok().ok_or_else(refusal)
}

fn is_forced(mode: Option<CircuitMode>) -> bool {
    matches!(mode, Some(CircuitMode::ForcedOpen | CircuitMode::ForcedClosed))
}

fn override_end(
    raw: &RawValue,
    mode: Option<CircuitMode>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, Refusal> {
    match mode {
        Some(CircuitMode::Auto) => Err(("not_allowed", "must be absent if mode is auto".to_owned())),
        Some(CircuitMode::ForcedClosed) => expiry(raw, now, MAX_FORCED_CLOSED),
        Some(CircuitMode::ForcedOpen) | None => expiry(raw, now, MAX_FORCED_OPEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::Bytes;

    fn codes(json: &str) -> Vec<(String, &'static str)> {
        let body = JsonObject::check(Bytes::copy_from_slice(json.as_bytes())).unwrap();
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let refusals = CircuitRequest::read(body.members().unwrap(), now).err().unwrap_or_default();
        Vec::from(refusals).into_iter().map(|f| (f.pointer, f.code)).collect()
    }

    #[test]
    fn an_override_requires_a_reason_and_an_end_within_the_limit() {
        for valid in [
            r#"{"mode": "auto"}"#,
            r#"{"mode": "auto", "reason": "over"}"#,
            r#"{"mode": "forced_open", "reason": "x", "expires_at": "2026-12-22T12:00:00Z"}"#,
            r#"{"mode": "forced_closed", "reason": "x", "expires_at": "2026-11-23T12:00:00Z"}"#,
        ] {
            assert!(codes(valid).is_empty(), "{valid}");
        }
        for (json, pointer, code) in [
            ("{}", "/mode", "required"),
            (r#"{"mode": "half_open"}"#, "/mode", "unknown_mode"),
            (r#"{"mode": "auto", "expires_at": "2026-11-22T13:00:00Z"}"#, "/expires_at", "not_allowed"),
            (r#"{"mode": "forced_open", "reason": "x"}"#, "/expires_at", "required"),
            (r#"{"mode": "forced_open", "expires_at": "2026-11-22T13:00:00Z"}"#, "/reason", "required"),
            (
                r#"{"mode": "forced_open", "reason": "  ", "expires_at": "2026-11-22T13:00:00Z"}"#,
                "/reason",
                "bad_reason",
            ),
            (
                r#"{"mode": "forced_open", "reason": "x", "expires_at": "2026-11-22T12:00:00Z"}"#,
                "/expires_at",
                "out_of_range",
            ),
            (
                r#"{"mode": "forced_open", "reason": "x", "expires_at": "2026-12-22T12:00:01Z"}"#,
                "/expires_at",
                "out_of_range",
            ),
            (
                r#"{"mode": "forced_closed", "reason": "x", "expires_at": "2026-11-23T12:00:01Z"}"#,
                "/expires_at",
                "out_of_range",
            ),
            (r#"{"mode": "forced_closed", "reason": "x", "expires_at": "soon"}"#, "/expires_at", "bad_time"),
            (r#"{"mode": "auto", "until": 1}"#, "/until", "unknown_field"),
        ] {
            assert_eq!(codes(json), [(pointer.to_owned(), code)], "{json}");
        }
    }
}
