//! Tests of the simulator over HTTP, of the test documents and of `docs/providers.md`.

use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use actix_web::http::{Method, StatusCode};
use awc::error::SendRequestError;
use serde_json::{Value, json};
use slog::Drain as _;

use super::record::BureauRecord;
use super::scenario::Scenario;
use super::test_documents::{Outcome, TestDocument, test_documents};
use super::*;
use crate::countries::Countries;
use crate::domain::banking::BankingData;
use crate::domain::personal_data::{FullName, IdentityDocument};
use crate::providers::{BureauRequest, MalformedReport, Subject, provider_for};

const NAME: &str = "Ana García López";

/// The sample document of each country in the specification.
fn samples() -> Vec<(Country, &'static str)> {
    let countries = Countries::built_in().unwrap();
    Country::ALL.map(|country| (country, countries.rules(country).describe().document.sample)).to_vec()
}

fn bureau_request(country: Country, document: &str) -> BureauRequest {
    provider_for(country).request(&Subject {
        full_name: FullName::parse(NAME).unwrap(),
        identity_document: IdentityDocument::from_normalized(document.to_owned()),
    })
}

/// A simulator whose slow responses take 60 ms.
async fn start() -> Simulator {
    start_with_logger(slog::Logger::root(slog::Discard, slog::o!())).await
}

async fn start_with_logger(logger: slog::Logger) -> Simulator {
    let settings =
        SimulatorSettings { slow_response: Duration::from_millis(60), ..SimulatorSettings::default() };
    Simulator::start(settings, Clock::system(), logger).await.unwrap()
}

/// A bureau's response as received by a client.
struct Response {
    status: StatusCode,
    retry_after: Option<String>,
    content_type: String,
    body: Vec<u8>,
}

impl Response {
    fn parsed(&self, country: Country) -> Result<BankingData, MalformedReport> {
        provider_for(country).parse(&self.body)
    }
}

async fn send_within(
    simulator: &Simulator,
    country: Country,
    document: &str,
    timeout: Duration,
) -> Result<Response, SendRequestError> {
    let bureau_request = bureau_request(country, document);
    let mut response = awc::Client::builder()
        .timeout(timeout)
        .finish()
        .post(format!("{}{}", simulator.base_url(country), bureau_request.path))
        .insert_header(("Content-Type", bureau_request.content_type))
        .insert_header(("Accept", bureau_request.accept))
        .insert_header(("X-Request-ID", "req-7"))
        .send_body(bureau_request.body)
        .await?;
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (retry_after, content_type) = (header("retry-after"), header("content-type").unwrap_or_default());
    let status = response.status();
    Ok(Response { status, retry_after, content_type, body: response.body().await.unwrap().to_vec() })
}

async fn send(simulator: &Simulator, country: Country, document: &str) -> Response {
    send_within(simulator, country, document, Duration::from_secs(20)).await.unwrap()
}

/// Sends a request to a control endpoint and returns the status and the JSON.
async fn control(simulator: &Simulator, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let mut response = awc::Client::default()
        .request(method, format!("{}{path}", simulator.root_url()))
        .send_body(body.to_owned())
        .await
        .unwrap();
    (response.status(), response.json().await.unwrap())
}

/// Waits until `condition` holds, for at most ten seconds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "still waiting until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The adapter's result for `record`, without HTTP.
fn report_of(country: Country, record: &BureauRecord) -> BankingData {
    provider_for(country).parse(simulated(country).format.write_report(record).as_bytes()).unwrap()
}

fn documents_for(scenario: Scenario) -> impl Iterator<Item = TestDocument> {
    test_documents().filter(move |row| row.scenario == scenario)
}

#[actix_rt::test]
async fn every_test_document_gets_the_response_of_its_scenario() {
    let simulator = start().await;
    for row in test_documents() {
        let context = format!("{} {}", row.country, row.document);
        let outcome = row.outcome();
        if outcome == Outcome::Hang {
            continue;
        }
        let sent_at = Instant::now();
        let response = send(&simulator, row.country, row.document).await;
        assert_eq!(response.content_type, simulated(row.country).format.content_type(), "{context}");
        let (status, report) = match outcome {
            Outcome::Report(record) => (StatusCode::OK, Some(report_of(row.country, &record))),
            Outcome::SlowReport(record) => {
                assert!(sent_at.elapsed() >= Duration::from_millis(60), "{context}");
                (StatusCode::OK, Some(report_of(row.country, &record)))
            }
            Outcome::HalfReport(_) => (StatusCode::OK, None),
            Outcome::NotFound => (StatusCode::NOT_FOUND, None),
            Outcome::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, None),
            Outcome::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, None),
            Outcome::Unauthorized => (StatusCode::UNAUTHORIZED, None),
            Outcome::RateLimited => (StatusCode::TOO_MANY_REQUESTS, None),
            Outcome::Hang => unreachable!("handled above"),
        };
        assert_eq!(response.status, status, "{context}");
        assert_eq!(response.parsed(row.country).ok(), report, "{context}");
        let retry_after = (row.scenario == Scenario::RateLimited).then(|| "2".to_owned());
        assert_eq!(response.retry_after, retry_after, "{context}");
    }
    simulator.stop().await;
}

#[actix_rt::test]
async fn the_samples_of_the_specification_have_clean_records() {
    let simulator = start().await;
    for (country, document) in samples() {
        let data = send(&simulator, country, document).await.parsed(country).unwrap();
        let score = data.credit_score.unwrap().get();
        assert!((720..=780).contains(&score), "{country}: {score}");
        assert_eq!(data.has_defaults, Some(false), "{country}");
        assert_eq!(data.account_status, Some(crate::domain::banking::AccountStatus::Active), "{country}");
        let income = rust_decimal::Decimal::from(record::typical_monthly_income(country));
        let obligations = data.monthly_obligations.unwrap().amount();
        assert!(obligations * rust_decimal::Decimal::from(8) < income, "{country}");
        let has_verification = crate::providers::tests::samples(country).has_verification;
        assert_eq!(data.verified, has_verification.then_some(true), "{country}");
    }
    simulator.stop().await;
}

#[actix_rt::test]
async fn any_other_document_always_gets_the_same_report() {
    let (one, other) = (start().await, start().await);
    for country in Country::ALL {
        let first = send(&one, country, "7654321").await.parsed(country).unwrap();
        assert_eq!(send(&other, country, "7654321").await.parsed(country), Ok(first.clone()));
        assert_ne!(send(&one, country, "7654322").await.parsed(country), Ok(first));
        assert_eq!((one.calls(country), other.calls(country)), (2, 1));
    }
    one.stop().await;
    other.stop().await;
}

#[actix_rt::test]
async fn a_hanging_response_ends_when_its_client_disconnects() {
    let simulator = start().await;
    for row in documents_for(Scenario::Timeout) {
        let timeout = Duration::from_millis(150);
        let outcome = send_within(&simulator, row.country, row.document, timeout).await;
        assert!(matches!(outcome, Err(SendRequestError::Timeout)), "{}", row.country);
        assert_eq!(simulator.calls(row.country), 1);
        until("the call is dropped", || simulator.in_flight(row.country) == 0).await;
    }
    simulator.stop().await;
}

#[actix_rt::test]
async fn a_hanging_response_ends_when_the_simulator_stops() {
    let simulator = start().await;
    let row = documents_for(Scenario::Timeout).next().unwrap();
    let target = simulator.clone();
    let call = actix_rt::spawn(async move {
        send_within(&target, row.country, row.document, Duration::from_secs(50)).await.is_err()
    });
    until("the call hangs", || simulator.in_flight(row.country) == 1).await;
    simulator.stop().await;
    let ended = tokio::time::timeout(Duration::from_secs(10), call).await;
    assert!(ended.expect("the call must end with the stop").unwrap(), "the call was answered");
}

#[actix_rt::test]
async fn the_next_calls_fail_and_then_the_bureau_recovers() {
    let simulator = start().await;
    simulator.script().fail_next(Country::Es, 3);
    for _ in 0..3 {
        let response = send(&simulator, Country::Es, "12345678Z").await;
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(send(&simulator, Country::Mx, "HERM850101MDFRRR08").await.status, StatusCode::OK);
    assert_eq!(send(&simulator, Country::Es, "12345678Z").await.status, StatusCode::OK);
    assert_eq!(simulator.calls(Country::Es), 4);
    simulator.stop().await;
}

#[actix_rt::test]
async fn latency_error_rate_and_malformed_reports_can_be_set_and_reset() {
    let simulator = start().await;
    let (country, document) = samples()[2];
    let script = simulator.script().clone();
    script.set_error_rate(country, 100);
    assert_eq!(send(&simulator, country, document).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    script.reset(country);
    script.set_malformed(country, true);
    let response = send(&simulator, country, document).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.parsed(country).is_err());
    script.reset_all();
    script.set_latency(country, Duration::from_millis(40));
    let sent_at = Instant::now();
    assert!(send(&simulator, country, document).await.parsed(country).is_ok());
    assert!(sent_at.elapsed() >= Duration::from_millis(40));
    script.set_latency(country, Duration::from_secs(500));
    let given_up = send_within(&simulator, country, document, Duration::from_millis(100)).await;
    assert!(given_up.is_err());
    script.reset_all();
    assert!(send(&simulator, country, document).await.parsed(country).is_ok());
    simulator.stop().await;
}

#[actix_rt::test]
async fn faults_can_be_changed_over_http() {
    let simulator = start().await;
    let change = r#"{"fail_next": 1, "latency_ms": 5, "callback_delay_ms": 7}"#;
    let (status, state) = control(&simulator, Method::PUT, "/control/es", change).await;
    let expected = json!({
        "fail_next": 1, "latency_ms": 5, "error_rate_percent": 0, "malformed": false, "callback_delay_ms": 7,
        "calls": 0
    });
    assert_eq!((status, state), (StatusCode::OK, expected));
    assert_eq!(send(&simulator, Country::Es, "12345678Z").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let (_, all) = control(&simulator, Method::GET, "/control", "").await;
    assert_eq!(all["ES"]["calls"], 1);
    assert_eq!(all["ES"]["fail_next"], 0);
    assert_eq!(all["BR"]["latency_ms"], 0);
    let (status, state) = control(&simulator, Method::DELETE, "/control/ES", "").await;
    assert_eq!((status, &state["latency_ms"]), (StatusCode::OK, &json!(0)));
    simulator.stop().await;
}

#[actix_rt::test]
async fn an_invalid_control_request_is_explained_and_changes_nothing() {
    let simulator = start().await;
    for (path, body, expected) in [
        ("/control/fr", "{}", StatusCode::NOT_FOUND),
        ("/control/es", "", StatusCode::BAD_REQUEST),
        ("/control/es", r#"{"fail_nxt": 1}"#, StatusCode::BAD_REQUEST),
        ("/control/es", r#"{"fail_next": -1}"#, StatusCode::BAD_REQUEST),
        ("/control/es", r#"{"fail_next": 3, "error_rate_percent": 101}"#, StatusCode::UNPROCESSABLE_ENTITY),
        ("/control/es", r#"{"fail_next": 3, "latency_ms": 600001}"#, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (status, response) = control(&simulator, Method::PUT, path, body).await;
        assert_eq!(status, expected, "{path} {body}");
        assert!(response["error"].is_string(), "{path} {body}");
    }
    assert_eq!(simulator.script().faults(Country::Es), script::Faults::default());
    simulator.stop().await;
}

#[actix_rt::test]
async fn a_malformed_request_gets_a_400_and_never_a_404() {
    let simulator = start().await;
    let client = awc::Client::default();
    for country in Country::ALL {
        let base = simulator.base_url(country);
        let path = bureau_request(country, "1234567890").path;
        for (url, body) in [
            (format!("{base}{path}"), "<html>".to_owned()),
            (format!("{base}{path}"), String::new()),
            (format!("{base}/elsewhere"), "{}".to_owned()),
            (base.clone(), "{}".to_owned()),
            (format!("{}/fr{path}", simulator.root_url()), "{}".to_owned()),
        ] {
            let response = client.post(&url).send_body(body).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{url}");
        }
        let flood = client.post(format!("{base}{path}")).send_body("x".repeat(70_000)).await.unwrap();
        assert_eq!(flood.status(), StatusCode::PAYLOAD_TOO_LARGE, "{country}");
    }
    simulator.stop().await;
}

/// A log that tests can read.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix_rt::test]
async fn calls_are_logged_with_their_request_id_and_without_personal_data() {
    let log = Captured::default();
    let drain = Mutex::new(slog_json::Json::default(log.clone())).fuse();
    let simulator = start_with_logger(slog::Logger::root(drain, slog::o!())).await;
    for row in test_documents().filter(|row| row.outcome() != Outcome::Hang) {
        send(&simulator, row.country, row.document).await;
    }
    simulator.stop().await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let calls: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["msg"] == "request to simulated bureau")
        .collect();
    assert_eq!(calls.len(), test_documents().filter(|row| row.outcome() != Outcome::Hang).count());
    assert!(calls.iter().all(|call| call["request_id"] == "req-7" && call["traceparent"] == false));
    for row in test_documents() {
        assert!(!text.contains(row.document), "{} is in the log", row.document);
    }
    assert!(!text.contains("Ana") && !text.contains("ANA"));
}

#[actix_rt::test]
async fn the_request_id_and_the_arrival_of_a_trace_are_echoed() {
    let simulator = start().await;
    let bureau_request = bureau_request(Country::Es, "12345678Z");
    let url = format!("{}{}", simulator.base_url(Country::Es), bureau_request.path);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (id, trace, echoed, traced) in
        [("req-8", Some(trace), Some("req-8"), "true"), ("not an id", None, None, "false")]
    {
        let mut request = awc::Client::default().post(&url).insert_header(("X-Request-ID", id));
        if let Some(trace) = trace {
            request = request.insert_header(("traceparent", trace));
        }
        let response = request.send_body(bureau_request.body.clone()).await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-request-id"), echoed);
        assert_eq!(header("x-traceparent-received"), Some(traced));
    }
    simulator.stop().await;
}

#[actix_rt::test]
async fn an_occupied_port_is_a_configuration_error_that_names_it() {
    let first = start().await;
    let settings = SimulatorSettings { port: first.address.port(), ..SimulatorSettings::default() };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let error = Simulator::start(settings, Clock::system(), logger).await.unwrap_err();
    assert_eq!(error.code(), "configuration");
    assert!(error.to_string().contains(&first.address.to_string()), "{error}");
    first.stop().await;
}

#[test]
fn the_default_delays_are_the_documented_ones() {
    let settings = SimulatorSettings::default();
    for row in documents_for(Scenario::Slow) {
        assert_eq!(row.answer(), format!("clean record after {} s", settings.slow_response.as_secs()));
    }
    for row in documents_for(Scenario::Timeout) {
        assert_eq!(row.answer(), format!("no response for {} s", settings.hang.as_secs()));
    }
}

#[test]
fn every_country_has_each_possible_scenario_exactly_once() {
    use Scenario::{HighObligations, IncomeMismatch, Unverified};
    let scenarios: std::collections::BTreeSet<_> = test_documents().map(|row| row.scenario).collect();
    assert_eq!(scenarios.len(), 17);
    let countries = Countries::built_in().unwrap();
    for country in Country::ALL {
        let rules = countries.rules(country).describe().rules;
        let has = |code| rules.iter().any(|rule| rule.code == code);
        for scenario in &scenarios {
            let possible = match scenario {
                HighObligations => has("DTI_TOO_HIGH"),
                IncomeMismatch => has("INCOME_MISMATCH"),
                Unverified => has("RECORD_NOT_VERIFIED"),
                _ => true,
            };
            let rows = documents_for(*scenario).filter(|row| row.country == country).count();
            assert_eq!(rows, usize::from(possible), "{country} {scenario:?}");
        }
    }
    for (country, sample) in samples() {
        let row = documents_for(Scenario::Approve).find(|row| row.country == country).unwrap();
        assert_eq!(row.document, sample);
    }
    let distinct: std::collections::BTreeSet<_> =
        test_documents().map(|row| (row.country, row.document)).collect();
    assert_eq!(distinct.len(), test_documents().count());
}

#[test]
fn every_test_document_is_valid() {
    let countries = Countries::built_in().unwrap();
    for row in test_documents() {
        let check = countries.rules(row.country).check_document(row.document, Clock::system().now());
        assert_eq!(check.normalized.as_deref(), Some(row.document), "{}", row.country);
    }
}

const PAGE: &str = include_str!("../../../docs/providers.md");

#[test]
fn the_documentation_lists_every_test_document_with_its_response_and_effect() {
    let missing: Vec<_> = test_documents()
        .map(|row| format!("| {} | `{}` | {} | {} |", row.country, row.document, row.answer(), row.effect()))
        .filter(|line| !PAGE.lines().any(|found| found == line))
        .collect();
    assert!(missing.is_empty(), "docs/providers.md lacks:\n{}", missing.join("\n"));
    let listed = PAGE
        .lines()
        .filter(|line| Country::ALL.iter().any(|c| line.starts_with(&format!("| {c} | `"))))
        .count();
    assert_eq!(listed, test_documents().count(), "docs/providers.md lists documents that do not exist");
}

#[test]
fn the_documentation_names_every_bureau_and_family() {
    for country in Country::ALL {
        let row = format!("| {} | {} |", country.name(), provider_for(country).name());
        assert!(
            PAGE.contains(&row),
            "the first table of docs/providers.md lacks a line that starts with {row}"
        );
        let family = format!("`{}` ({country})", simulated(country).family.trim_end_matches('?'));
        let text = PAGE.replace('\n', " ");
        assert!(text.contains(&family), "docs/providers.md lacks the family {family} of test documents");
    }
}

#[test]
fn the_documentation_states_every_typical_income() {
    let text = PAGE.replace('\n', " ");
    let (_, rest) = text.split_once("assumes these monthly incomes: ").unwrap();
    let (sentence, _) = rest.split_once(". ").unwrap();
    let plain = sentence.replace([',', '.'], "");
    for country in Country::ALL {
        let income = record::typical_monthly_income(country);
        let stated = match country.currency() {
            "EUR" => format!("EUR {income} in {}", country.name()),
            currency => format!("{currency} {income}"),
        };
        let is_stated = plain.match_indices(&stated).any(|(at, _)| {
            let after = plain.get(at + stated.len()..).unwrap();
            !after.starts_with(|c: char| c.is_ascii_digit())
        });
        assert!(is_stated, "docs/providers.md lacks the income of {country} in {sentence:?}");
    }
}

/// The fenced block after `<!-- name -->` in the documentation, with its lines joined without indentation.
fn example(name: &str) -> String {
    let (_, rest) = PAGE
        .split_once(&format!("<!-- {name} -->"))
        .unwrap_or_else(|| panic!("docs/providers.md lacks <!-- {name} -->"));
    let lines = rest.lines().skip_while(|line| !line.starts_with("```")).skip(1);
    lines.take_while(|line| !line.starts_with("```")).map(str::trim).collect()
}

#[test]
fn the_examples_in_the_documentation_match_requests_and_reports() {
    for (country, document) in samples() {
        let code = country.lower_code();
        let (shown, sent) = (example(&format!("{code} request")), bureau_request(country, document));
        let sent_text = String::from_utf8(sent.body).unwrap();
        if sent.content_type.contains("json") {
            let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(value(&shown), value(&sent_text), "{country}");
        } else {
            assert_eq!(shown, sent_text, "{country}");
        }
        let path = format!("`POST {}`", sent.path);
        assert!(PAGE.contains(&path), "docs/providers.md lacks {path} of {country}");
        let Outcome::Report(record) = test_documents::outcome_of(country, document) else {
            panic!("{country}'s sample has no report")
        };
        let parsed = provider_for(country).parse(example(&format!("{code} answer")).as_bytes());
        assert_eq!(parsed, Ok(report_of(country, &record)), "{country}");
    }
}
