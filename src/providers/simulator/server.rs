//! The simulator's HTTP server: routes of the bureaus and control endpoints.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::{Map, Value, json};

use super::callbacks::{self, Callbacks, Delivery};
use super::script::{FaultChange, Injected, Script};
use super::test_documents::{Outcome, outcome_of};
use super::wire::WireFormat;
use super::{SimulatorSettings, simulated};
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::domain::ids::RequestId;
use crate::domain::per_country::PerCountry;
use crate::providers::acceptance;

/// The maximum size of a request body.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// `Retry-After` of rate-limited responses, in seconds.
const RETRY_AFTER_SECS: u32 = 2;

/// State shared by the handlers and [`super::Simulator`].
pub(super) struct Shared {
    settings: SimulatorSettings,
    clock: Clock,
    logger: slog::Logger,
    pub(super) script: Script,
    pub(super) callbacks: OnceLock<Callbacks>,
    tallies: PerCountry<Tally>,
}

/// Call counters of one country.
#[derive(Default)]
pub(super) struct Tally {
    arrived: AtomicU64,
    finished: AtomicU64,
}

/// Counts a call as finished when dropped, including when the client disconnects.
struct InFlight<'a>(&'a Tally);

impl Tally {
    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::SeqCst)
    }

    pub(super) fn in_flight(&self) -> u64 {
        let finished = self.finished.load(Ordering::SeqCst);
        self.arrived().saturating_sub(finished)
    }

    fn enter(&self) -> InFlight<'_> {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        InFlight(self)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

impl Shared {
    pub(super) fn new(settings: SimulatorSettings, clock: Clock, logger: slog::Logger) -> Self {
        let (script, callbacks) = (Script::default(), OnceLock::new());
        Self { settings, clock, logger, script, callbacks, tallies: PerCountry::default() }
    }

    pub(super) fn tally(&self, country: Country) -> &Tally {
        self.tallies.get(country)
    }
}

/// Binds `address` and builds the server with one worker and no signal handlers. If a client closes its side of a
/// connection, the server closes the connection immediately, which ends hanging responses.
pub(super) fn bind(address: SocketAddr, shared: Arc<Shared>) -> std::io::Result<(SocketAddr, Server)> {
    let shared = Data::from(shared);
    let server = HttpServer::new(move || {
        Country::ALL
            .into_iter()
            .fold(App::new(), |app, country| app.service(bureau(country)))
            .app_data(Data::clone(&shared))
            .app_data(web::PayloadConfig::new(MAX_REQUEST_BYTES))
            .service(web::resource("/control").get(show_control))
            .service(web::resource("/control/{country}").put(change_control).delete(reset_control))
            .default_service(web::to(async || refused(StatusCode::BAD_REQUEST, "no such path")))
    })
    .workers(1)
    .disable_signals()
    .h1_allow_half_closed(false)
    .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((bound, server.run()))
}

/// The routes of one bureau. The response to an unknown path is a 400, because a bureau's 404 means an unknown person.
fn bureau(country: Country) -> actix_web::Scope {
    let format = simulated(country).format;
    let handler = move |shared: Data<Shared>, request: HttpRequest, body: Bytes| async move {
        respond(&shared, country, &request, &body).await
    };
    web::scope(&format!("/{}", country.lower_code()))
        .route(format.path(), web::post().to(handler))
        .default_service(web::to(move || async move {
            error(format, StatusCode::BAD_REQUEST, "NO_SUCH_OPERATION")
        }))
}

async fn respond(
    shared: &Data<Shared>,
    country: Country,
    request: &HttpRequest,
    body: &[u8],
) -> HttpResponse {
    let _in_flight = shared.tally(country).enter();
    let format = simulated(country).format;
    let (injected, latency) = shared.script.next_fault(country, shared.clock.percent_roll());
    let outcome =
        format.read_document(body).map(|document| with_fault(outcome_of(country, &document), injected));
    let delay = latency + own_delay(&shared.settings, outcome.as_ref());
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let later = outcome.as_ref().and_then(|outcome| accept_for_later(shared, country, request, outcome));
    let (label, mut response) = match outcome {
        Some(outcome) => later.map_or_else(|| write(format, &outcome), |response| ("accepted", response)),
        None => ("bad_request", error(format, StatusCode::BAD_REQUEST, "BAD_REQUEST")),
    };
    let header = |name: &str| request.headers().get(name);
    let request_id = header("x-request-id").and_then(|id| RequestId::parse(id.to_str().ok()?));
    let traced = header("traceparent").is_some();
    slog::info!(shared.logger, "request to simulated bureau";
        "country" => country.code(),
        "request_id" => request_id.as_ref().map(RequestId::as_str),
        "traceparent" => traced,
        "outcome" => label,
        "status" => response.status().as_u16());
    echo(&mut response, request_id.as_ref(), traced);
    response
}

/// Starts the delivery of the report of an asynchronous bureau and returns the 202 response; `None` if the bureau
/// responds synchronously.
fn accept_for_later(
    shared: &Data<Shared>,
    country: Country,
    request: &HttpRequest,
    outcome: &Outcome,
) -> Option<HttpResponse> {
    let key = shared.callbacks.get()?.keys.get(&country)?.clone();
    let url = shared.callbacks.get()?.url.clone();
    let application = request.headers().get("x-application-id")?.to_str().ok()?.parse().ok()?;
    let reference = format!("{}-{}", country.code(), shared.clock.new_uuid().simple());
    let body = callbacks::write(application, &reference, outcome, shared.clock.now())?;
    let delay = Duration::from_millis(shared.script.faults(country).callback_delay_ms);
    let delivery = Delivery { country, key, url, body, delay };
    actix_web::rt::spawn(delivery.run(shared.clock.clone(), shared.logger.clone()));
    Some(HttpResponse::Accepted().content_type("application/json").body(acceptance::write(&reference)))
}

/// Echoes the request id, and whether the request had a trace context.
fn echo(response: &mut HttpResponse, request_id: Option<&RequestId>, traced: bool) {
    let headers = response.headers_mut();
    let traced = HeaderValue::from_static(if traced { "true" } else { "false" });
    headers.insert(HeaderName::from_static("x-traceparent-received"), traced);
    if let Some(id) = request_id.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

/// Applies an injected fault to the normal outcome.
fn with_fault(outcome: Outcome, injected: Option<Injected>) -> Outcome {
    match (injected, outcome) {
        (Some(Injected::Down), _) => Outcome::Unavailable,
        (Some(Injected::Error), _) => Outcome::ServerError,
        (Some(Injected::Malformed), Outcome::Report(record) | Outcome::SlowReport(record)) => {
            Outcome::HalfReport(record)
        }
        (Some(Injected::Malformed) | None, outcome) => outcome,
    }
}

fn own_delay(settings: &SimulatorSettings, outcome: Option<&Outcome>) -> Duration {
    match outcome {
        Some(Outcome::SlowReport(_)) => settings.slow_response,
        Some(Outcome::Hang) => settings.hang,
        _ => Duration::ZERO,
    }
}

/// The response for an outcome, and its label in the log.
fn write(format: &dyn WireFormat, outcome: &Outcome) -> (&'static str, HttpResponse) {
    match outcome {
        Outcome::Report(record) => ("report", body(format, StatusCode::OK, format.write_report(record))),
        Outcome::SlowReport(record) => {
            ("slow_report", body(format, StatusCode::OK, format.write_report(record)))
        }
        Outcome::HalfReport(record) => {
            let report = format.write_report(record);
            let half = report.chars().take(report.len() / 2).collect();
            ("half_report", body(format, StatusCode::OK, half))
        }
        Outcome::NotFound => ("not_found", error(format, StatusCode::NOT_FOUND, "NOT_FOUND")),
        Outcome::ServerError => ("error", error(format, StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR")),
        Outcome::Unavailable => {
            ("unavailable", error(format, StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"))
        }
        Outcome::Unauthorized => ("unauthorized", error(format, StatusCode::UNAUTHORIZED, "UNAUTHORIZED")),
        Outcome::RateLimited => {
            let mut response = error(format, StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED");
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECS.into());
            ("rate_limited", response)
        }
        Outcome::Hang => ("hung", error(format, StatusCode::GATEWAY_TIMEOUT, "TIMEOUT")),
    }
}

fn error(format: &dyn WireFormat, status: StatusCode, code: &str) -> HttpResponse {
    body(format, status, format.write_error(code))
}

fn body(format: &dyn WireFormat, status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status).insert_header((CONTENT_TYPE, format.content_type())).body(text)
}

async fn show_control(shared: Data<Shared>) -> HttpResponse {
    let all: Map<String, Value> = Country::ALL
        .into_iter()
        .map(|country| (country.code().to_owned(), state(&shared, country)))
        .collect();
    HttpResponse::Ok().json(all)
}

async fn change_control(shared: Data<Shared>, country: web::Path<String>, body: Bytes) -> HttpResponse {
    let Ok(country) = country.parse() else { return unknown_country() };
    let change: FaultChange = match serde_json::from_slice(&body) {
        Ok(change) => change,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match shared.script.apply(country, change) {
        Ok(faults) => {
            slog::info!(shared.logger, "injected faults changed"; "country" => country.code(), "faults" => ?faults);
            HttpResponse::Ok().json(state(&shared, country))
        }
        Err(reason) => refused(StatusCode::UNPROCESSABLE_ENTITY, reason),
    }
}

async fn reset_control(shared: Data<Shared>, country: web::Path<String>) -> HttpResponse {
    let Ok(country) = country.parse() else { return unknown_country() };
    shared.script.reset(country);
    slog::info!(shared.logger, "injected faults changed"; "country" => country.code(), "faults" => "none");
    HttpResponse::Ok().json(state(&shared, country))
}

/// A country's faults and number of calls.
fn state(shared: &Shared, country: Country) -> Value {
    let mut state = json!(shared.script.faults(country));
    if let Value::Object(members) = &mut state {
        members.insert("calls".to_owned(), json!(shared.tally(country).arrived()));
    }
    state
}

fn unknown_country() -> HttpResponse {
    refused(StatusCode::NOT_FOUND, &format!("unknown country: use one of {}", Country::CODES))
}

fn refused(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": reason}))
}
