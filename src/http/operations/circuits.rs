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
use crate::http::problem::Answer;
use crate::http::request::request_body;
use crate::http::request::values::{required_reason, text};
use crate::json::Refusal;
use crate::lending::circuits::{self, CircuitOverride, SetOverride};
use crate::providers::provider_for;
use crate::resilience::circuit_breaker::CircuitMode;

/// How long a breaker may be forced open.
const LONGEST_OPEN: TimeDelta = TimeDelta::days(30);
/// How long a breaker may be forced closed: what it is there for is off meanwhile.
const LONGEST_CLOSED: TimeDelta = TimeDelta::hours(24);

/// What operators want of a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OverrideView {
    /// `forced_open` or `forced_closed`.
    #[schema(value_type = crate::http::schemas::ForcedCircuitMode, example = "forced_open")]
    pub mode: &'static str,
    /// Why.
    #[schema(example = "The bureau has announced maintenance")]
    pub reason: Option<String>,
    /// Who wants it.
    #[schema(example = "ana.garcia")]
    pub set_by: String,
    /// Since when.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub set_at: DateTime<Utc>,
    /// Until when; then it decides by itself again.
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

/// How a breaker of the answering instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitStateView {
    /// `closed`, `open` or `half_open`: what it does with calls.
    #[schema(value_type = crate::http::schemas::CircuitState, example = "closed")]
    pub state: &'static str,
    /// `auto`, `forced_open` or `forced_closed`: what it follows. A moment after a change it may be the one before.
    #[schema(value_type = crate::http::schemas::CircuitModeName, example = "auto")]
    pub mode: &'static str,
    /// Failures in a row, while closed.
    #[schema(example = 0)]
    pub consecutive_failures: u32,
    /// Calls in the window, while closed...
    #[schema(example = 12)]
    pub calls: u32,
    /// ...failures among them...
    #[schema(example = 1)]
    pub failures: u32,
    /// ...and slow ones.
    #[schema(example = 0)]
    pub slow: u32,
    /// How long it has not been closed, in milliseconds; 0 while it is.
    #[schema(example = 0)]
    pub not_closed_for_ms: u64,
    /// How often it has opened since this instance's gateway was started.
    #[schema(example = 0)]
    pub opened_count: u64,
    /// Calls in flight.
    #[schema(example = 3)]
    pub in_flight: u32,
    /// Calls that wait for a place.
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

/// One country's circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitView {
    /// The country.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Country,
    /// Its bureau.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: &'static str,
    /// What operators want of it, on every instance; `null`: nothing.
    #[serde(rename = "override")]
    pub forced: Option<OverrideView>,
    /// How it stands on the answering instance; `null` when that one asks no bureaus.
    pub here: Option<CircuitStateView>,
}

/// Every country's circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitList {
    /// The answering instance: `here` tells of its breakers alone, because each instance has its own.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// One for each country.
    pub circuits: Vec<CircuitView>,
}

/// The circuit breakers, and what operators want of them.
#[utoipa::path(
    get,
    path = "/api/v1/admin/circuits",
    operation_id = "list_circuits",
    tag = "operations",
    responses((status = 200, description = "Every country's circuit", body = CircuitList)),
)]
pub(in crate::http) async fn list(state: HttpState) -> Answer {
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
    /// What an operator wants of a breaker.
    pub struct CircuitRequest given(now: DateTime<Utc>) {
        /// `auto`: it decides by itself, from a closed state and with fresh counts. `forced_open`: nobody asks the bureau.
        /// `forced_closed`: everybody may, whatever it answers.
        #[schema(value_type = crate::http::schemas::CircuitModeName, example = "forced_open")]
        mode: CircuitMode = required(text(circuit_mode)),
        /// Why; required unless the mode is `auto`.
        #[schema(max_length = 500, example = "The bureau has announced maintenance")]
        reason: Option<String> = required_when(is_forced(mode), required_reason),
        /// When it ends by itself; required unless the mode is `auto`. At most 30 days ahead for `forced_open`, 24 hours for
        /// `forced_closed`.
        #[schema(example = "2026-11-22T18:00:00Z")]
        expires_at: Option<DateTime<Utc>> = required_when(is_forced(mode), |raw| override_end(raw, mode, now)),
    }
}

/// Forces a circuit breaker open or closed on every instance, or gives it back.
///
/// Instances follow at once where they hear of it, and within `jobs.poll_interval_ms` where they do not. The last word counts;
/// every one is kept.
#[utoipa::path(
    put,
    path = "/api/v1/admin/circuits/{code}",
    operation_id = "set_circuit",
    tag = "operations",
    params(("code" = crate::http::schemas::CountryCode, Path, description = "The country")),
    request_body(
        content = CircuitRequest,
        example = json!({"mode": "forced_open", "reason": "The bureau has announced maintenance",
            "expires_at": "2026-11-22T18:00:00Z"}),
    ),
    responses(
        (status = 200, description = "The circuit; `here` may take a moment to follow", body = CircuitView),
        (status = 404, description = "There is no such country"),
    ),
)]
pub(in crate::http) async fn set(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    CountryPath(country): CountryPath,
    body: JsonObject,
) -> Answer {
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
        Some(CircuitMode::Auto) => Err(("not_allowed", "auto has no end".to_owned())),
        Some(CircuitMode::ForcedClosed) => expiry(raw, now, LONGEST_CLOSED),
        Some(CircuitMode::ForcedOpen) | None => expiry(raw, now, LONGEST_OPEN),
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
    fn forcing_needs_a_reason_and_an_end_that_is_near_enough() {
        for fine in [
            r#"{"mode": "auto"}"#,
            r#"{"mode": "auto", "reason": "over"}"#,
            r#"{"mode": "forced_open", "reason": "x", "expires_at": "2026-12-22T12:00:00Z"}"#,
            r#"{"mode": "forced_closed", "reason": "x", "expires_at": "2026-11-23T12:00:00Z"}"#,
        ] {
            assert!(codes(fine).is_empty(), "{fine}");
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
