//! Tests the gateway against a scripted bureau: a real HTTP server that plays a list of steps for each country.
//!
//! The clock is manual, so a breaker stays open until the test advances the clock. Only call timeouts use real time.

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
fn carried() -> Carried {
    let caller =
        Tracer::off(&Clock::system()).enter(Some(TRACE), SpanKind::Internal, || ("test".into(), Vec::new()));
    caller.run(async { Carried::capture() }).now_or_never().unwrap()
}

/// A bureau whose wire format is `BankingData`.
struct PlainFormat(Country);

impl BankingProvider for PlainFormat {
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
    /// A status with one header.
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
            trace: carried(),
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

#[test]
fn a_base_url_must_be_absolute() {
    for bad in ["", "bureau", "/v1", "ftp://bureau/v1", "http://", "http://bureau/v1?key=1"] {
        let endpoint = Endpoint::new(&PlainFormat(Country::Es), bad, call_settings(), breaker_settings());
        assert!(matches!(endpoint, Err(Error::Configuration(_))), "{bad:?}");
    }
}

#[actix_rt::test]
async fn a_report_is_returned_and_the_request_carries_its_headers() {
    let rig = Rig::new();
    assert_eq!((rig.gauge(Country::Es), rig.gauge(Country::Mx)), (0, 0));
    assert!(is_report(&rig.fetch(Country::Es).await));
    let seen = rig.script.seen.lock().unwrap().clone();
    let [Seen { country, headers, body }] = seen.as_slice() else { panic!("one request") };
    assert_eq!((country.as_str(), body.as_str()), ("es", "{\"document\":\"99887766Q\"}"));
    for (name, value) in [
        ("x-request-id", "req-1"),
        ("traceparent", TRACE),
        ("content-type", "application/json"),
        ("accept", "application/vnd.report+json"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert_eq!(rig.counted(Country::Es, "success"), 1);
}

#[actix_rt::test]
async fn each_kind_of_failure_is_distinguished_and_counts_for_the_breaker() {
    let rig = Rig::with(|spain| {
        spain.call.call_timeout_ms = 300;
        spain.breaker.consecutive_failures = 100;
        spain.breaker.min_calls = 100;
    });
    for (failures, (step, expected)) in (1..).zip([
        (Step::Status(500), "server_error"),
        (Step::Status(503), "server_error"),
        (Step::Status(401), "unauthorized"),
        (Step::Status(403), "unauthorized"),
        (Step::Status(204), "malformed"),
        (Step::StatusWithHeader(307, "location", "/mx/reports"), "malformed"),
        (Step::Body("<html>".to_owned()), "malformed"),
        (Step::Body(format!("{{{}}}", " ".repeat(9_999))), "malformed"),
        (Step::Truncated, "connect"),
        (Step::Hang, "timeout"),
    ]) {
        rig.script.play(Country::Es, [step]);
        let before = rig.counted(Country::Es, expected);
        assert_eq!(reason(&rig.fetch(Country::Es).await), expected);
        assert_eq!(rig.counted(Country::Es, expected), before + 1);
        assert_eq!(rig.status(Country::Es).await.snapshot.consecutive_failures, failures);
        assert_eq!(
            rig.script.hits(),
            usize::try_from(failures).unwrap(),
            "no request is redirected or repeated"
        );
    }
}

#[actix_rt::test]
async fn the_largest_allowed_body_is_read() {
    let rig = Rig::new();
    rig.script.play(Country::Es, [Step::Body(format!("{{{}}}", " ".repeat(9_998)))]);
    assert!(is_report(&rig.fetch(Country::Es).await));
}

#[actix_rt::test]
async fn an_unreachable_bureau_is_a_failed_connection() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::with(|spain| spain.base_url = format!("http://{free}"));
    assert_eq!(reason(&rig.fetch(Country::Es).await), "connect");
}

#[actix_rt::test]
async fn a_failed_tls_handshake_is_a_failed_connection_without_panic() {
    let rig = Rig::with(|spain| spain.base_url = spain.base_url.replace("http://", "https://"));
    assert_eq!(reason(&rig.fetch(Country::Es).await), "connect");
}

#[actix_rt::test]
async fn other_client_errors_count_as_success() {
    let rig = Rig::new();
    rig.script
        .play(Country::Es, [Step::Status(500), Step::Status(404), Step::Status(500), Step::Status(422)]);
    rig.fetch(Country::Es).await;
    let thin = rig.fetch(Country::Es).await;
    assert!(matches!(&thin, BankingAnswer::Report(data) if data.is_thin_file()), "{thin:?}");
    assert_eq!(rig.status(Country::Es).await.snapshot.consecutive_failures, 0);
    rig.fetch(Country::Es).await;
    assert_eq!(reason(&rig.fetch(Country::Es).await), "refused");
    assert_eq!(rig.status(Country::Es).await.snapshot.consecutive_failures, 0);
}

#[actix_rt::test]
async fn rejected_credentials_alert_and_are_not_retried() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, [Step::Status(401)]);
    assert_eq!(reason(&rig.fetch(Country::Es).await), "unauthorized");
    assert_eq!(rig.script.hits(), 1);
    let log = rig.log();
    let alert =
        log.lines().find(|line| line.contains("\"alert\":\"provider_credentials\"")).expect("an alert");
    assert!(alert.contains("\"level\":\"CRIT\"") && alert.contains("\"request_id\":\"req-1\""), "{alert}");
}

#[actix_rt::test]
async fn five_failures_open_the_breaker_and_the_sixth_call_falls_back_without_a_request() {
    let rig = Rig::new();
    rig.open_spain().await;
    assert_eq!((rig.gauge(Country::Es), rig.script.hits()), (1, 5));
    let answer = rig.fetch(Country::Es).await;
    let BankingAnswer::CircuitOpen(data) = answer else { panic!("{answer:?}") };
    assert_eq!(data.provider_name, "Scripted Bureau (FALLBACK - Circuit Open)");
    assert_eq!(data.additional_data["circuit_state"], "open");
    assert_eq!(rig.script.hits(), 5);

    assert!(is_report(&rig.fetch(Country::Mx).await));
    let mexico = rig.status(Country::Mx).await.snapshot;
    assert_eq!((mexico.state, mexico.failures, rig.gauge(Country::Mx)), (State::Closed, 0, 0));
}

#[actix_rt::test]
async fn a_fallback_takes_less_than_a_millisecond_and_makes_no_call() {
    let rig = Rig::new();
    rig.open_spain().await;
    let began = Instant::now();
    for _ in 0..2_000 {
        assert!(is_fallback(&rig.fetch(Country::Es).await));
    }
    let each = began.elapsed() / 2_000;
    assert!(each < Duration::from_millis(1), "each took {each:?}, including the mailbox");
    assert_eq!(rig.script.hits(), 5);
    // The first fallback was the response to the failure that opened the breaker.
    assert_eq!(rig.counted(Country::Es, "circuit_open"), 2_001);
}

#[actix_rt::test]
async fn exactly_one_of_a_hundred_half_open_calls_reaches_the_bureau() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.script.play(Country::Es, [Step::Gate]);
    let answered = AtomicUsize::new(0);
    let calls = join_all((0..100).map(|_| async {
        let answer = rig.fetch(Country::Es).await;
        answered.fetch_add(1, Ordering::SeqCst);
        answer
    }));
    let open_the_gate = async {
        rig.wait_for_hits(6).await;
        while answered.load(Ordering::SeqCst) < 99 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.gauge(Country::Es), 2);
        rig.script.gate.add_permits(1);
    };
    let (answers, ()) = tokio::join!(calls, open_the_gate);
    assert_eq!(answers.iter().filter(|answer| is_report(answer)).count(), 1);
    assert_eq!(answers.iter().filter(|answer| is_fallback(answer)).count(), 99);
    assert_eq!(rig.script.hits(), 6);
    assert_eq!(rig.state(Country::Es).await, State::Closed);
}

#[actix_rt::test]
async fn a_successful_probe_closes_the_breaker_and_reports_the_recovery_once() {
    let rig = Rig::new();
    rig.open_spain().await;
    assert!(rig.recovered.lock().unwrap().is_empty());
    rig.parts.clock.advance(Duration::from_secs(60));
    assert!(rig.status(Country::Es).await.snapshot.is_ready_for_probe());
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(*rig.recovered.lock().unwrap(), [Country::Es]);
    assert_eq!(rig.gauge(Country::Es), 0);
    let transitions = &rig.parts.metrics.provider_circuit_breaker_transitions_total;
    for to in ["open", "half_open", "closed"] {
        assert_eq!(transitions.with_label_values(&["ES", "scripted_bureau", to]).get(), 1, "{to}");
    }
}

#[actix_rt::test]
async fn a_failed_probe_opens_the_breaker_for_twice_as_long() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, vec![Step::Status(500); 6]);
    rig.fetch(Country::Es).await;
    rig.fetch(Country::Es).await;
    rig.parts.clock.advance(Duration::from_secs(60));
    assert!(is_fallback(&rig.fetch(Country::Es).await));
    assert_eq!(rig.script.hits(), 6, "a probe must not be retried");
    assert_eq!(rig.status(Country::Es).await.snapshot.retry_in, Duration::from_secs(120));
}

#[actix_rt::test]
async fn a_failing_call_is_retried_and_every_attempt_counts() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, [Step::Status(500), Step::Body("?".to_owned())]);
    assert!(is_report(&rig.fetch(Country::Es).await));
    let spain = rig.status(Country::Es).await.snapshot;
    assert_eq!((rig.script.hits(), spain.calls, spain.failures), (3, 3, 2));

    rig.script.play(Country::Es, vec![Step::Status(500); 5]);
    assert_eq!(reason(&rig.fetch(Country::Es).await), "server_error");
    assert_eq!(rig.script.hits(), 6);
    let opened_during_retries = rig.fetch(Country::Es).await;
    assert!(is_fallback(&opened_during_retries), "{opened_during_retries:?}");
    assert_eq!(rig.script.hits(), 8, "the fifth consecutive failure must end the retries");
}

#[actix_rt::test]
async fn retries_stop_when_the_budget_is_exhausted_and_resume_a_minute_later() {
    let rig = Rig::with(|spain| {
        spain.call.retries = 2;
        spain.call.retry_budget_min_per_minute = 3;
        spain.breaker.consecutive_failures = 100;
        spain.breaker.min_calls = 100;
    });
    rig.script.play(Country::Es, vec![Step::Status(500); 20]);
    let mut requests = Vec::new();
    for _ in 0..4 {
        let before = rig.script.hits();
        rig.fetch(Country::Es).await;
        requests.push(rig.script.hits() - before);
    }
    assert_eq!(requests, [3, 2, 1, 1]);
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.fetch(Country::Es).await;
    assert_eq!(rig.script.hits(), 7 + 3);
}

#[actix_rt::test]
async fn slow_responses_open_the_breaker() {
    let rig = Rig::with(|spain| spain.breaker.min_calls = 4);
    rig.script.play(Country::Es, vec![Step::Slow(Duration::from_millis(3_001)); 4]);
    for _ in 0..4 {
        assert!(is_report(&rig.fetch(Country::Es).await));
    }
    assert_eq!(rig.state(Country::Es).await, State::Open);
    assert!(rig.log().contains("\"cause\":\"slow_rate\""));
}

#[actix_rt::test]
async fn a_full_bulkhead_refuses_calls_and_serves_the_others_in_order() {
    let rig = Rig::with(|spain| {
        spain.call.max_in_flight = 1;
        spain.call.max_queued = 3;
    });
    rig.script.play(Country::Es, vec![Step::Gate; 4]);
    let order = Mutex::new(Vec::new());
    let calls = join_all((0..4).map(|number| {
        let call = rig.ask(Country::Es);
        let order = &order;
        async move {
            assert!(is_report(&call.await.unwrap().unwrap()));
            order.lock().unwrap().push(number);
        }
    }));
    let others = async {
        rig.wait_for_spain("one in flight, three waiting", |spain| (spain.in_flight, spain.queued) == (1, 3))
            .await;
        assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::BulkheadFull));
        assert!(is_report(&rig.fetch(Country::Mx).await), "Mexico must have its own permits");
        rig.script.gate.add_permits(4);
    };
    tokio::join!(calls, others);
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    let spain = rig.status(Country::Es).await;
    assert_eq!((spain.in_flight, spain.queued, spain.snapshot.failures), (0, 0, 0));
    assert_eq!(rig.counted(Country::Es, "bulkhead_full"), 1);
}

#[actix_rt::test]
async fn waiting_calls_fall_back_immediately_when_the_breaker_opens() {
    let rig = Rig::with(|spain| {
        spain.call.max_in_flight = 2;
        spain.breaker.consecutive_failures = 1;
    });
    rig.script.play(Country::Es, [Step::GateThenFail, Step::Hang]);
    let mut calls: VecDeque<_> = (0..12).map(|_| actix_rt::spawn(rig.ask(Country::Es))).collect();
    rig.wait_for_hits(2).await;
    rig.wait_for_spain("ten wait", |spain| spain.queued == 10).await;
    rig.script.gate.add_permits(1);
    let (failing, _hanging) = (calls.pop_front().unwrap(), calls.pop_front().unwrap());
    assert!(is_fallback(&failing.await.unwrap().unwrap().unwrap()));
    for waiting in calls {
        assert!(is_fallback(&waiting.await.unwrap().unwrap().unwrap()));
    }
    assert_eq!(rig.script.hits(), 2);
    assert_eq!(rig.status(Country::Es).await.in_flight, 1, "the hanging call must remain");
}

#[actix_rt::test]
async fn a_dropped_caller_releases_its_permit_and_its_place_in_the_queue() {
    let rig = Rig::with(|spain| spain.call.max_in_flight = 1);
    rig.script.play(Country::Es, [Step::Hang]);
    let call_in_flight = actix_rt::spawn(rig.ask(Country::Es));
    rig.wait_for_hits(1).await;
    let waiting = actix_rt::spawn(rig.ask(Country::Es));
    rig.wait_for_spain("one waits", |spain| spain.queued == 1).await;
    waiting.abort();
    rig.wait_for_spain("the queue is empty", |spain| spain.queued == 0).await;
    call_in_flight.abort();
    rig.wait_for_spain("nothing is in flight", |spain| spain.in_flight == 0).await;
    assert_eq!(
        rig.status(Country::Es).await.snapshot.calls,
        0,
        "an aborted call must not count for the breaker"
    );
    assert!(is_report(&rig.fetch(Country::Es).await));
}

#[actix_rt::test]
async fn after_a_dropped_probe_the_next_call_is_the_probe() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.script.play(Country::Es, [Step::Hang]);
    let probe = actix_rt::spawn(rig.ask(Country::Es));
    rig.wait_for_hits(6).await;
    assert!(is_fallback(&rig.fetch(Country::Es).await));
    probe.abort();
    rig.wait_for_spain("ready for a probe", |spain| spain.snapshot.is_ready_for_probe()).await;
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.state(Country::Es).await, State::Closed);
}

#[actix_rt::test]
async fn a_bureau_that_responds_429_is_not_called_during_the_requested_pause() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, [Step::StatusWithHeader(429, "retry-after", "30")]);
    let seconds = |answer: &BankingAnswer| match answer {
        BankingAnswer::RateLimited { retry_after } => retry_after.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(seconds(&rig.fetch(Country::Es).await), 30);
    rig.parts.clock.advance(Duration::from_secs(29));
    assert_eq!(seconds(&rig.fetch(Country::Es).await), 1);
    let spain = rig.status(Country::Es).await;
    assert_eq!((spain.snapshot.calls, spain.paused_for), (0, Some(Duration::from_secs(1))));
    assert_eq!(rig.script.hits(), 1);
    assert!(is_report(&rig.fetch(Country::Mx).await));
    rig.parts.clock.advance(Duration::from_secs(1));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.status(Country::Es).await.paused_for, None);
}

#[actix_rt::test]
async fn calls_waiting_behind_a_429_are_answered_immediately() {
    let rig = Rig::with(|spain| spain.call.max_in_flight = 1);
    rig.script.play(Country::Es, [Step::StatusWithHeader(429, "retry-after", "9")]);
    for answer in join_all((0..20).map(|_| rig.fetch(Country::Es))).await {
        assert!(matches!(answer, BankingAnswer::RateLimited { retry_after } if retry_after.as_secs() == 9));
    }
    assert_eq!((rig.script.hits(), rig.status(Country::Es).await.in_flight), (1, 0));
}

#[actix_rt::test]
async fn a_probe_with_429_leaves_the_breaker_half_open() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.script.play(Country::Es, [Step::StatusWithHeader(429, "retry-after", "5")]);
    assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::RateLimited { .. }));
    assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::RateLimited { .. }));
    assert_eq!((rig.state(Country::Es).await, rig.script.hits()), (State::HalfOpen, 6));
    rig.parts.clock.advance(Duration::from_secs(5));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.state(Country::Es).await, State::Closed);
}

#[actix_rt::test]
async fn a_panic_of_the_gateway_ends_its_calls_and_its_replacement_starts_closed() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.script.play(Country::Mx, [Step::Hang]);
    let call_in_flight = actix_rt::spawn(rig.ask(Country::Mx));
    rig.wait_for_hits(6).await;
    rig.parts.faults.arm(FaultPoint::ProviderGateway, Some(Country::Es.code()), 1).unwrap();
    assert!(rig.ask(Country::Es).await.is_err(), "a mailbox error");
    rig.termination.wait().await;
    assert!(call_in_flight.await.unwrap().is_err(), "calls in flight must end with the actor");

    let (liveness, _termination) = LivenessGuard::pair();
    let next = ProviderGateway::new(rig.parts.clone(), liveness).start();
    let all = next.send(ReadBreakers).await.unwrap();
    assert!(all.iter().all(|status| status.snapshot.state == State::Closed && status.in_flight == 0));
    let labels = ["ES", "scripted_bureau"];
    assert_eq!(rig.parts.metrics.provider_circuit_breaker_state.with_label_values(&labels).get(), 0);
}

#[actix_rt::test]
async fn an_override_applies_from_the_next_call_survives_restarts_and_expires() {
    let rig = Rig::new();
    assert!(is_report(&rig.fetch(Country::Es).await));
    let left = Duration::from_secs(60);
    rig.parts.overrides.set(&[InForce { country: Country::Es, mode: CircuitMode::ForcedOpen, left }]);
    assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::CircuitOpen(_)));
    assert!(is_report(&rig.fetch(Country::Mx).await));
    let (liveness, _termination) = LivenessGuard::pair();
    let next = ProviderGateway::new(rig.parts.clone(), liveness).start();
    let all = next.send(ReadBreakers).await.unwrap();
    assert_eq!((all[0].snapshot.state, all[0].snapshot.mode), (State::Open, CircuitMode::ForcedOpen));
    let labels = ["ES", "scripted_bureau"];
    let mode = rig.parts.metrics.provider_circuit_breaker_mode.with_label_values(&labels);
    assert_eq!((mode.get(), rig.script.hits()), (1, 2));

    rig.parts.clock.advance(left);
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!((mode.get(), rig.state(Country::Es).await), (0, State::Closed));
    assert_eq!(
        *rig.recovered.lock().unwrap(),
        [Country::Es],
        "the end of the override must report the recovery"
    );
}

#[actix_rt::test]
async fn a_panic_of_an_adapter_fails_only_its_call() {
    let rig = Rig::with(|spain| spain.call.max_in_flight = 1);
    rig.script.play(Country::Es, [Step::Body(format!("surprise {DOCUMENT}"))]);
    for name in [NAME, "Panic"] {
        let answer = rig.ask_about(Country::Es, name).await.unwrap();
        assert!(matches!(answer, Err(Error::Panicked { what: "provider call", .. })), "{answer:?}");
    }
    let spain = rig.status(Country::Es).await;
    assert_eq!((spain.in_flight, spain.snapshot.calls), (0, 0));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert!(rig.log().contains("bureau call panicked"));
    assert!(!rig.log().contains(DOCUMENT), "{}", rig.log());
}

#[actix_rt::test]
async fn a_country_without_a_bureau_is_an_internal_error() {
    let rig = Rig::new();
    assert!(matches!(rig.ask(Country::Pt).await.unwrap(), Err(Error::Internal(_))));
}

#[actix_rt::test]
async fn a_message_whose_response_is_not_awaited_makes_no_call() {
    let rig = Rig::new();
    rig.gateway
        .try_send(FetchBankingData {
            country: Country::Es,
            subject: Subject {
                full_name: FullName::parse(NAME).unwrap(),
                identity_document: IdentityDocument::from_normalized(DOCUMENT.to_owned()),
            },
            application_id: ApplicationId::new(Uuid::nil()),
            request_id: None,
            trace: Carried::capture(),
        })
        .unwrap();
    assert_eq!(rig.status(Country::Es).await.in_flight, 0);
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.script.hits(), 1);
}

#[actix_rt::test]
async fn logs_describe_calls_without_personal_data() {
    let rig = Rig::with(|spain| spain.call.retries = 1);
    rig.script
        .play(Country::Es, [Step::Status(500), Step::Body(format!("{{\"document\": \"{DOCUMENT}\"}}"))]);
    rig.fetch(Country::Es).await;
    rig.script.play(Country::Es, vec![Step::Status(500); 3]);
    rig.fetch(Country::Es).await;
    rig.fetch(Country::Es).await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.fetch(Country::Es).await;
    let log = rig.log();
    for expected in [
        "bureau call failed",
        "\"status\":\"malformed\"",
        "\"application_id\":\"00000000-0000-0000-0000-000000000000\"",
        "\"request_id\":\"req-1\"",
        "\"country\":\"ES\"",
        "\"logger\":\"provider_gateway\"",
        "circuit breaker opened",
        "\"open_ms\":60000",
        "\"failure_count\":5",
        "\"last_failure\":\"server_error: ",
        "circuit breaker half-open",
        "the bureau has recovered",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    assert!(!log.contains(DOCUMENT) && !log.contains(NAME), "{log}");
}
