//! Tests the gateway against a scripted bureau: a real HTTP server that plays a list of steps for each country.
//!
//! The clock is manual, so a breaker stays open until the test advances the clock. Only call timeouts use real time.

mod admission;
mod breaker;
mod calls;

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chrono::DateTime;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::json;
use slog::Drain as _;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;
use crate::domain::personal_data::{FullName, IdentityDocument};
use crate::providers::{BureauRequest, MalformedReport};
use crate::resilience::circuit_breaker::CircuitMode;
use crate::resilience::circuit_breaker::State;
use crate::storage::circuit_overrides::InForce;
use crate::telemetry::labels::KnownLabels;
use crate::telemetry::trace::{SpanKind, Tracer};

const NAME: &str = "Ximena Inventada";
const DOCUMENT: &str = "99887766Q";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The trace context of [`TRACE`], as an actor gets it.
fn trace_context() -> Carried {
    let caller =
        Tracer::off(&Clock::system()).enter(Some(TRACE), SpanKind::Internal, || ("test".into(), Vec::new()));
    caller.run(async { Carried::capture() }).now_or_never().unwrap()
}

/// A bureau whose wire format is `BankingData`.
struct PlainFormat(Country);

impl BureauAdapter for PlainFormat {
    fn name(&self) -> &'static str {
        "Scripted Bureau"
    }

    fn label(&self) -> &'static str {
        "scripted_bureau"
    }

    fn country(&self) -> Country {
        self.0
    }

    fn request(&self, subject: &Subject) -> BureauRequest {
        assert_ne!(subject.full_name.reveal(), "Panic", "the adapter cannot build this request");
        BureauRequest {
            path: "/reports",
            content_type: "application/json",
            accept: "application/vnd.report+json",
            body: json!({"document": subject.identity_document.reveal()}).to_string().into_bytes(),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport> {
        let text = String::from_utf8_lossy(body);
        assert!(!text.starts_with("surprise"), "cannot read {text}");
        serde_json::from_str(&text).map_err(|error| MalformedReport(format!("line {}", error.line())))
    }
}

#[derive(Clone)]
enum Step {
    Report,
    Status(u16),
    StatusWithHeader(u16, &'static str, &'static str),
    Body(String),
    /// A truncated body.
    Truncated,
    /// No response.
    Hang,
    /// A report after the test opens the gate.
    Gate,
    /// A failure after the test opens the gate.
    GateThenFail,
    /// A report that seems to take this long: the clock is advanced before it is sent.
    Slow(Duration),
}

#[derive(Clone)]
struct Seen {
    country: String,
    headers: HashMap<String, String>,
    body: String,
}

/// The script, and the requests that the bureau received.
struct Script {
    clock: Clock,
    steps: Mutex<HashMap<String, VecDeque<Step>>>,
    seen: Mutex<Vec<Seen>>,
    gate: Semaphore,
}

impl Script {
    fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn play(&self, country: Country, steps: impl IntoIterator<Item = Step>) {
        let mut all = self.steps.lock().unwrap();
        all.entry(country.lower_code().to_owned()).or_default().extend(steps);
    }
}

async fn report(
    script: web::Data<Arc<Script>>,
    country: web::Path<String>,
    request: HttpRequest,
    body: String,
) -> HttpResponse {
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    script.seen.lock().unwrap().push(Seen { country: country.clone(), headers, body });
    let step = script.steps.lock().unwrap().entry(country.clone()).or_default().pop_front();
    let status = |code: u16| HttpResponse::build(actix_web::http::StatusCode::from_u16(code).unwrap());
    match step.unwrap_or(Step::Report) {
        Step::Report => {}
        Step::Status(code) => return status(code).finish(),
        Step::StatusWithHeader(code, name, value) => {
            return status(code).insert_header((name, value)).finish();
        }
        Step::Body(text) => return HttpResponse::Ok().body(text),
        Step::Truncated => {
            let start = Ok(web::Bytes::from_static(b"{\"credit_"));
            let broken = stream::iter([start, Err(std::io::Error::other("scripted"))]);
            return HttpResponse::Ok().streaming(broken);
        }
        Step::Hang => std::future::pending().await,
        Step::Gate => script.gate.acquire().await.unwrap().forget(),
        Step::GateThenFail => {
            script.gate.acquire().await.unwrap().forget();
            return status(500).finish();
        }
        Step::Slow(by) => script.clock.advance(by),
    }
    HttpResponse::Ok().json(BankingData::empty("Scripted Bureau"))
}

fn call_settings() -> CallSettings {
    CallSettings {
        connect_timeout_ms: 2_000,
        call_timeout_ms: 10_000,
        max_body_bytes: 10_000,
        max_in_flight: 32,
        max_queued: 64,
        retries: 0,
        retry_backoff_ms: 1,
        retry_budget_percent: 20,
        retry_budget_min_per_minute: 10,
    }
}

fn breaker_settings() -> BreakerSettings {
    BreakerSettings {
        consecutive_failures: 5,
        window_ms: 60_000,
        min_calls: 10,
        failure_rate_percent: 50,
        slow_call_ms: 3_000,
        slow_rate_percent: 80,
        open_ms: 60_000,
        open_max_ms: 300_000,
        open_jitter_percent: 0,
        probe_timeout_ms: 30_000,
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A gateway to scripted bureaus in Spain and Mexico.
struct Rig {
    gateway: Addr<ProviderGateway>,
    parts: GatewayParts,
    script: Arc<Script>,
    recovered: Arc<Mutex<Vec<Country>>>,
    lines: Lines,
    termination: crate::supervision::handle::Termination,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// A rig whose Spanish endpoint is modified by `change`.
    fn with(change: impl FnOnce(&mut Endpoint)) -> Self {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let script = Arc::new(Script {
            clock: clock.clone(),
            steps: Mutex::default(),
            seen: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let shared = web::Data::new(Arc::clone(&script));
        let server = HttpServer::new(move || {
            App::new().app_data(shared.clone()).route("/{country}/reports", web::post().to(report))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        actix_rt::spawn(server.run());

        let endpoint = |country: Country| {
            let adapter = Box::leak(Box::new(PlainFormat(country)));
            let base_url = format!("http://{address}/{}/", country.lower_code());
            Endpoint::new(adapter, &base_url, call_settings(), breaker_settings()).unwrap()
        };
        let mut spain = endpoint(Country::Es);
        change(&mut spain);
        let lines = Lines::default();
        let drain = Mutex::new(slog_json::Json::default(lines.clone())).fuse();
        let recovered = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&recovered);
        let overrides = CircuitOverrides::new(clock.clone());
        let events = CircuitEvents::new(clock.clone(), "test".into());
        let parts = GatewayParts {
            endpoints: vec![spain, endpoint(Country::Mx)],
            mailbox_capacity: 1024,
            clock,
            metrics: Arc::new(Metrics::new(&KnownLabels::default()).unwrap()),
            overrides,
            events,
            faults: Arc::new(Faults::new(true)),
            logger: Logger::root(drain, o!()),
            on_recovered: Some(Arc::new(move |country| recorded.lock().unwrap().push(country))),
        };
        let (liveness, termination) = LivenessGuard::pair();
        let gateway = ProviderGateway::new(parts.clone(), liveness).start();
        Self { gateway, parts, script, recovered, lines, termination }
    }

    fn ask(&self, country: Country) -> Request<ProviderGateway, FetchBankingData> {
        self.ask_about(country, NAME)
    }

    fn ask_about(&self, country: Country, name: &str) -> Request<ProviderGateway, FetchBankingData> {
        self.gateway.send(FetchBankingData {
            country,
            subject: Subject {
                full_name: FullName::parse(name).unwrap(),
                identity_document: IdentityDocument::from_normalized(DOCUMENT.to_owned()),
            },
            application_id: ApplicationId::new(Uuid::nil()),
            request_id: RequestId::parse("req-1"),
            trace: trace_context(),
        })
    }

    async fn fetch(&self, country: Country) -> BankingAnswer {
        self.ask(country).await.unwrap().unwrap()
    }

    async fn status(&self, country: Country) -> BreakerStatus {
        let all = self.gateway.send(ReadBreakers).await.unwrap();
        all.into_iter().find(|status| status.country == country).unwrap()
    }

    async fn state(&self, country: Country) -> State {
        self.status(country).await.snapshot.state
    }

    /// Opens Spain's breaker with five failures.
    async fn open_spain(&self) {
        self.script.play(Country::Es, vec![Step::Status(500); 5]);
        for _ in 0..5 {
            self.fetch(Country::Es).await;
        }
        assert_eq!(self.state(Country::Es).await, State::Open);
    }

    async fn wait_for_spain(&self, what: &str, condition: impl Fn(&BreakerStatus) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition(&self.status(Country::Es).await) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.status(Country::Es).await);
            tokio::task::yield_now().await;
        }
    }

    async fn wait_for_hits(&self, hits: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.script.hits() < hits {
            assert!(Instant::now() < deadline, "{} of {hits} requests arrived", self.script.hits());
            tokio::task::yield_now().await;
        }
    }

    fn counted(&self, country: Country, status: &str) -> u64 {
        let labels = [country.code(), "scripted_bureau", status];
        self.parts.metrics.provider_calls_total.with_label_values(&labels).get()
    }

    fn gauge(&self, country: Country) -> i64 {
        let labels = [country.code(), "scripted_bureau"];
        self.parts.metrics.provider_circuit_breaker_state.with_label_values(&labels).get()
    }

    fn log(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }
}

fn is_fallback(answer: &BankingAnswer) -> bool {
    matches!(answer, BankingAnswer::CircuitOpen(data) if data.is_fallback())
}

fn is_report(answer: &BankingAnswer) -> bool {
    matches!(answer, BankingAnswer::Report(data) if !data.is_fallback() && !data.is_thin_file())
}

fn reason(answer: &BankingAnswer) -> &'static str {
    match answer {
        BankingAnswer::Failed { error: Error::Provider { provider: "Scripted Bureau", reason, .. } } => {
            reason
        }
        other => panic!("{other:?}"),
    }
}
