//! Metrics: their declarations, when they are exported, and their exact values after a known run.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::rc::Rc;

use aval::app::known_labels;
use aval::domain::application::Country;
use aval::providers::simulator::scenario::Scenario;
use aval::providers::simulator::test_documents::test_documents;
use aval::telemetry::metrics::{Declaration, Metrics};
use serde_json::{Value, json};

use crate::events::consumers::start_failing;
use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};
use crate::support::db::{TestDatabase, execute};
use crate::support::eventually;
use crate::webhooks::confirmed;

/// The metrics with label values that are not known in advance.
const OPEN: [(&str, &str); 7] = [
    ("http_requests_total", "any route can have any status code"),
    ("http_request_duration_seconds", "a method of a route has series once it was requested"),
    ("applications_validation_errors_total", "reason codes belong to the rules of each country"),
    ("event_consumer_events_total", "an instance exports the series of the consumers that it runs"),
    ("event_consumer_events_read_total", "an instance exports the series of the consumers that it runs"),
    ("event_consumer_lost_total", "an instance exports the series of the consumers that it runs"),
    ("db_query_duration_seconds", "operations are named after statements and tables"),
];

fn is_vector(declaration: &Declaration) -> bool {
    !declaration.labels.is_empty()
}

/// The series of a page, without values. Buckets of histograms are omitted.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
    names.filter(|name| !name.contains("_bucket{")).collect()
}

/// The series that belong to a metric.
fn of_metric<'a>(series: &'a BTreeSet<String>, name: &str) -> BTreeSet<&'a str> {
    let belongs = |series: &&str| {
        let own = series.split('{').next().unwrap();
        own == name || own.strip_prefix(name).is_some_and(|rest| rest == "_count" || rest == "_sum")
    };
    series.iter().map(String::as_str).filter(belongs).collect()
}

/// The series of an instance that has just started.
fn fresh() -> BTreeSet<String> {
    series(&Metrics::new(&known_labels()).unwrap().render().unwrap())
}

#[test]
fn every_counter_with_known_label_values_is_exported_from_the_start() {
    let fresh = fresh();
    let cumulative = Metrics::DECLARATIONS.iter().filter(|declared| declared.metric_type != "gauge");
    for declared in cumulative {
        let is_open = OPEN.iter().any(|(name, _)| *name == declared.name);
        let is_known = !is_vector(declared) || declared.has_known_labels;
        assert_ne!(
            is_open, is_known,
            "{}: either src/app/labels.rs lists its label values, or OPEN contains it",
            declared.name
        );
        assert_eq!(is_known, !of_metric(&fresh, declared.name).is_empty(), "{}", declared.name);
    }
    for expected in [
        r#"rate_limited_total{route="/api/v1/applications"}"#,
        r#"webhook_events_total{provider="buro_de_credito",result="duplicate"}"#,
        r#"worker_tasks_total{status="failed",task_name="retry_webhook_event"}"#,
        r#"provider_circuit_breaker_transitions_total{country="BR",provider="serasa",to="open"}"#,
    ] {
        assert!(fresh.contains(expected), "{expected}");
    }
}

#[test]
fn labels_have_no_blanks_and_gauges_have_no_series_before_they_are_measured() {
    let fresh = fresh();
    for series in &fresh {
        assert!(!series.contains(' '), "{series}");
    }
    let vectors = Metrics::DECLARATIONS.iter().filter(|declared| declared.metric_type == "gauge");
    for declared in vectors.filter(|declared| is_vector(declared) || declared.leader.is_some()) {
        assert!(of_metric(&fresh, declared.name).is_empty(), "{}", declared.name);
    }
    for name in ["outbox_lag_seconds", "db_replica_up", "db_replica_lag_seconds"] {
        assert!(of_metric(&fresh, name).is_empty(), "{name}");
    }
}

/// The reference of all metrics, as `docs/metrics.md` must contain it.
fn reference() -> String {
    let mut lines = vec!["| metric | type | labels | meaning |".to_owned(), "|---|---|---|---|".to_owned()];
    for declared in Metrics::DECLARATIONS {
        let leader = declared.leader.map(|leader| format!(" Exported by the leading {}.", leader.as_str()));
        let labels: Vec<String> = declared.labels.iter().map(|label| format!("`{label}`")).collect();
        lines.push(format!(
            "| `{}` | {} | {} | {}{} |",
            declared.name,
            declared.metric_type,
            labels.join(", "),
            declared.help,
            leader.unwrap_or_default(),
        ));
    }
    lines.join("\n")
}

#[test]
fn the_reference_has_every_metric_as_declared() {
    let page = std::fs::read_to_string("docs/metrics.md").unwrap();
    let reference = reference();
    assert!(page.contains(&reference), "docs/metrics.md must contain this table:\n{reference}");
}

/// Checks a page with promtool, which also applies the naming conventions of Prometheus.
fn lint(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, which scripts/install-missing.sh installs");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let report = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&report));
}

fn document(country: Country, scenario: Scenario) -> &'static str {
    test_documents().find(|row| row.country == country && row.scenario == scenario).unwrap().document
}

/// The sum of all series of a metric.
fn total(page: &str, name: &str) -> f64 {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.split_once(' '));
    lines
        .filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'))
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum()
}

/// Submits three Spanish applications, one of which is rejected, and an Italian one. Then sends an invalid application, an
/// application over the rate limit, a confirmation that changes nothing, and a webhook with a wrong signature.
async fn run(app: &TestApp) -> Vec<String> {
    let mut ids = Vec::new();
    for (country, document) in [
        (Country::Es, document(Country::Es, Scenario::Approve)),
        (Country::Es, document(Country::Es, Scenario::Approve)),
        (Country::Es, document(Country::Es, Scenario::Defaults)),
        (Country::It, document(Country::It, Scenario::Approve)),
    ] {
        let id = app.submit(&body(country, document)).await;
        app.decided(&id).await;
        ids.push(id);
    }
    assert_eq!(app.decided(&ids[0]).await, "APPROVED");
    assert_eq!(app.decided(&ids[2]).await, "REJECTED");
    app.post("/api/v1/applications", &json!({"country": "ES"})).await.expect(422);
    app.post("/api/v1/applications", &spanish()).await.expect(429);
    let answer = confirmed(&ids[2]).send(app).await.expect(200);
    assert_eq!(answer["applied"], false, "a rejected application stays rejected");
    confirmed(&ids[2]).send_signed(app, "whsec_WwIYIP75njNuiV2HpJzNhVYcuYRuNnkrf8Fr", 0).await.expect(401);
    ids
}

/// The sum of the risk scores of decisions.
async fn risk(app: &TestApp, ids: &[String]) -> f64 {
    let mut sum = 0.0;
    for id in ids {
        let decision = app.get(&format!("/api/v1/applications/{id}/decision")).await.expect(200);
        sum += match &decision["risk_score"] {
            Value::String(score) => score.parse::<f64>().unwrap(),
            score => score.as_f64().unwrap(),
        };
    }
    sum
}

#[actix_rt::test]
async fn a_known_run_has_exact_values() {
    let app = TestApp::start(&[
        ("AVAL__LIMITS__ENABLED", "true"),
        ("AVAL__LIMITS__CREATE__ADDRESS__PER_MINUTE", "1"),
        ("AVAL__LIMITS__CREATE__ADDRESS__BURST", "5"),
        ("AVAL__LIMITS__STANDARD__ADDRESS__BURST", "50000"),
        ("AVAL__LIMITS__STANDARD__ADMIN__BURST", "50000"),
        ("AVAL__STATISTICS__MIN_INTERVAL_MS", "10"),
        ("WEBHOOK_SECRET", crate::webhooks::SECRET),
    ])
    .await;
    let ids = run(&app).await;
    for (series, value) in [
        (r#"http_requests_total{endpoint="/api/v1/applications",method="POST",status_code="201"}"#, 4.0),
        (r#"http_requests_total{endpoint="/api/v1/applications",method="POST",status_code="422"}"#, 1.0),
        (r#"http_requests_total{endpoint="/api/v1/applications",method="POST",status_code="429"}"#, 1.0),
        (r#"http_request_duration_seconds_count{endpoint="/api/v1/applications",method="POST"}"#, 6.0),
        (r#"rate_limited_total{route="/api/v1/applications"}"#, 1.0),
        (r#"rate_limited_total{route="unmatched"}"#, 0.0),
        (r#"applications_created_total{country="ES"}"#, 3.0),
        (r#"applications_created_total{country="IT"}"#, 1.0),
        (r#"applications_created_total{country="BR"}"#, 0.0),
        (r#"applications_validation_errors_total{country="ES",error_type="required"}"#, 4.0),
        ("applications_processing_duration_seconds_count", 4.0),
        (r#"worker_tasks_total{status="success",task_name="process_credit_application"}"#, 4.0),
        (r#"worker_task_duration_seconds_count{task_name="process_credit_application"}"#, 4.0),
        ("worker_job_wait_seconds_count", 4.0),
        (r#"provider_calls_total{country="ES",provider="asnef_cirbe",status="success"}"#, 3.0),
        (r#"provider_call_duration_seconds_count{country="ES",provider="asnef_cirbe"}"#, 3.0),
        (r#"provider_calls_total{country="IT",provider="crif",status="success"}"#, 1.0),
        (r#"provider_circuit_breaker_state{country="ES",provider="asnef_cirbe"}"#, 0.0),
        (r#"risk_score_distribution_count{country="ES"}"#, 3.0),
        (r#"risk_score_distribution_bucket{country="ES",le="+Inf"}"#, 3.0),
        (r#"risk_score_distribution_count{country="IT"}"#, 1.0),
        (r#"risk_score_distribution_count{country="BR"}"#, 0.0),
        (r#"webhook_events_total{provider="asnef_cirbe",result="ignored"}"#, 1.0),
        (r#"webhook_events_total{provider="unknown",result="unauthenticated"}"#, 1.0),
        (r#"applications_by_status{country="ES",status="APPROVED"}"#, 2.0),
        (r#"applications_by_status{country="ES",status="REJECTED"}"#, 1.0),
        (r#"leadership_held{role="relay"}"#, 1.0),
        (r#"leadership_held{role="housekeeper"}"#, 1.0),
        ("worker_queue_depth", 0.0),
        (r#"dlq_jobs{status="pending"}"#, 0.0),
        ("db_connections_max", 6.0),
        (r#"actor_mailbox_depth{actor="scheduler"}"#, 0.0),
    ] {
        // Some metrics change shortly after the commit becomes visible.
        let is_exact = async || {
            let page = app.get("/metrics").await.text();
            let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            (line.map(|value| value.parse::<f64>().unwrap()) == Some(value)).then_some(())
        };
        eventually(&format!("{series} to be {value}"), is_exact).await;
    }
    let page = app.get("/metrics").await.text();
    for (name, value) in [
        ("rate_limited_total", 1.0),
        ("worker_tasks_total", 4.0),
        ("provider_calls_total", 4.0),
        ("webhook_events_total", 2.0),
        ("actor_restarts_total", 0.0),
        ("provider_circuit_breaker_transitions_total", 0.0),
    ] {
        assert_eq!(total(&page, name), value, "{name}");
    }
    let expected = risk(&app, &ids[..3]).await;
    let sum = app.metric(r#"risk_score_distribution_sum{country="ES"}"#).await;
    assert!((sum - expected).abs() < 1e-6, "{sum} is not {expected}");
    let statements = app.metric(r#"db_query_duration_seconds_count{operation="insert_applications"}"#).await;
    assert!((1.0..=4.0).contains(&statements), "{statements} grouped inserts of four applications");
    for operation in ["begin", "claim_jobs", "commit", "publish_outbox", "store_decisions"] {
        let count =
            app.metric(&format!("db_query_duration_seconds_count{{operation=\"{operation}\"}}")).await;
        assert!(count > 0.0, "{operation}");
    }
    lint(&page);
    let (fresh, now) = (fresh(), series(&page));
    for declared in Metrics::DECLARATIONS.iter().filter(|declared| declared.has_known_labels) {
        assert_eq!(
            of_metric(&now, declared.name),
            of_metric(&fresh, declared.name),
            "a label value of {} is missing in src/app/labels.rs",
            declared.name
        );
    }
}

#[actix_rt::test]
async fn a_read_from_the_cache_is_a_hit() {
    let app = TestApp::start_idle().await;
    let path = format!("/api/v1/applications/{}", app.submit(&spanish()).await);
    let count = async |name: &str| app.metric(&format!("{name}{{cache_key_pattern=\"application\"}}")).await;
    // The instance caches the application only after it has received the application's event.
    eventually("a cached response", async || {
        let before = count("cache_hits_total").await;
        app.get(&path).await.expect(200);
        (count("cache_hits_total").await == before + 1.0).then_some(())
    })
    .await;
    let (hits, misses) = (count("cache_hits_total").await, count("cache_misses_total").await);
    app.get(&path).await.expect(200);
    assert_eq!((count("cache_hits_total").await, count("cache_misses_total").await), (hits + 1.0, misses));
}

#[actix_rt::test]
async fn figures_about_the_whole_database_are_exported_by_the_leader_alone() {
    // Consumer groups exist only with Redis.
    let of_leader = |declared: &&Declaration| {
        declared.leader.is_some() && declared.name != "event_stream_group_lag_events"
    };
    let figures = || Metrics::DECLARATIONS.iter().filter(of_leader);
    assert!(figures().count() > 5);
    let has_all = async |app: &TestApp| {
        let series = series(&app.get("/metrics").await.text());
        figures().all(|figure| !of_metric(&series, figure.name).is_empty()).then_some(())
    };
    let first = TestApp::start(&[("AVAL__STATISTICS__MIN_INTERVAL_MS", "10")]).await;
    let _consumer = start_failing(first.engine());
    let id = first.submit(&spanish()).await;
    first.decided(&id).await;
    first.post("/api/v1/admin/schedule/make_partitions/run", &json!({})).await;
    eventually("the figures of the leader", async || has_all(&first).await).await;
    let next = TestApp::start_on(Rc::clone(&first.database), &[]).await;
    let page = next.get("/metrics").await.text();
    for figure in figures() {
        assert!(of_metric(&series(&page), figure.name).is_empty(), "a follower exports {}", figure.name);
    }
    for role in ["relay", "housekeeper"] {
        let held = format!("leadership_held{{role=\"{role}\"}}");
        assert!(page.contains(&format!("{held} 0")), "{role}");
        assert_eq!(first.metric(&held).await, 1.0, "{role}");
    }
    first.stop().await;
    eventually("the figures of the next leader", async || has_all(&next).await).await;
}

#[actix_rt::test]
async fn the_age_of_the_outbox_grows_while_no_relay_leads() {
    let database = Rc::new(TestDatabase::create().await);
    let mut other = database.connect().await;
    execute(&mut other, "SELECT pg_advisory_lock(hashtextextended('aval.leader.relay', 0))").await.unwrap();
    let app = TestApp::start_on(Rc::clone(&database), &[("AVAL__OUTBOX__LEADER_RETRY_MS", "50")]).await;
    app.submit(&spanish()).await;
    let lag = async || app.metric("outbox_lag_seconds").await;
    eventually("the age to grow", async || (lag().await > 1.0).then_some(())).await;
    assert_eq!(app.metric(r#"leadership_held{role="relay"}"#).await, 0.0);
    execute(&mut other, "SELECT pg_advisory_unlock_all()").await.unwrap();
    eventually("the outbox to be published", async || {
        let page = app.get("/metrics").await.text();
        page.contains("\noutbox_lag_seconds 0\n").then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn the_metrics_port_serves_metrics_and_health_and_nothing_else() {
    let app = TestApp::start(&[("METRICS_PORT", "0"), ("AVAL__SERVER__METRICS_HOST", "127.0.0.1")]).await;
    let address = app.metrics_address().expect("a metrics port");
    assert_ne!(address, app.address());
    let get = async |path: &str| {
        let mut answer = app.client.get(format!("http://{address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), String::from_utf8(answer.body().await.unwrap().to_vec()).unwrap())
    };
    for path in ["/metrics", "/health", "/health/live", "/health/ready", "/health/detailed"] {
        assert_eq!(get(path).await.0, 200, "{path}");
        assert_eq!(app.get(path).await.status, 200, "the API's port must serve {path} too");
    }
    assert!(get("/metrics").await.1.contains("\nleadership_held{"));
    for path in ["/api/v1/applications", "/api/v1/health", "/openapi.json", "/docs/", "/api/v1/admin/jobs"] {
        assert_eq!(get(path).await.0, 404, "{path}");
    }
    app.stop().await;
    let answered = awc::Client::default().get(format!("http://{address}/health/live")).send().await;
    assert!(answered.is_err(), "the port must be closed at the end of the shutdown");
}

#[actix_rt::test]
async fn by_default_there_is_no_metrics_port() {
    let app = TestApp::start_idle().await;
    assert_eq!(app.metrics_address(), None);
}
