//! An outage of one bureau, as operators see it: metrics, trace, log, health report, dashboard and alert.

use std::fs;
use std::path::Path;

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};
use crate::support::eventually;
use crate::support::otlp::Collector;
use crate::support::promtool::promtool;
use aval::domain::application::Country;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const LABELS: &str = r#"country="BR",provider="serasa""#;

/// The expression of the dashboard's panel with this title.
fn panel(title: &str) -> String {
    let text = fs::read_to_string("k8s/monitoring/grafana/dashboards/aval.json").unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let panel = panels.iter().find(|panel| panel["title"] == title).unwrap();
    panel["targets"][0]["expr"].as_str().unwrap().to_owned()
}

/// Evaluates the rules and the dashboard as if the instance's breaker metrics stayed unchanged for ten minutes.
fn check_alert_and_dashboard(page: &str) {
    let scraped = page.lines().filter(|line| line.starts_with("provider_circuit_breaker_"));
    let series: Vec<Value> = scraped
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.replacen('{', "{job=\"aval\",instance=\"a:9100\",", 1);
            json!({"series": name, "values": format!("{value}x40")})
        })
        .collect();
    let rules = ["alerts.yml", "recording.yml"].map(|file| {
        let path = Path::new("k8s/monitoring/rules").join(file);
        path.canonicalize().unwrap()
    });
    let firing = format!(
        "ALERTS{{alertname=\"AvalCircuitBreakerOpen\",alertstate=\"firing\",{LABELS},severity=\"warning\"}}"
    );
    let expected = |expression: &str, labels: &str| json!({"expr": expression, "eval_time": "7m", "exp_samples": [{"labels": labels, "value": 1}]});
    let open = format!("({}) > 0", panel("Circuit breakers"));
    let test = json!({
        "rule_files": rules,
        "evaluation_interval": "15s",
        "tests": [{
            "interval": "15s",
            "input_series": series,
            "promql_expr_test": [
                expected("ALERTS{alertname=\"AvalCircuitBreakerOpen\", alertstate=\"firing\"}", &firing),
                expected(&open, &format!("{{{LABELS}}}")),
            ],
        }],
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outage.yml");
    // Every JSON document is also a YAML document.
    fs::write(&path, test.to_string()).unwrap();
    promtool(&["test", "rules"], &[path]);
}

#[actix_rt::test]
async fn an_outage_in_brazil_shows_in_metrics_trace_log_health_dashboard_and_alert() {
    let collector = Collector::start();
    let exporting = collector.settings();
    let mut settings: Vec<_> = exporting.iter().map(|(key, value)| (*key, value.as_str())).collect();
    settings.push(("AVAL__PROVIDERS__DEFAULTS__BREAKER__OPEN_MS", "60000"));
    let app = TestApp::start(&settings).await;
    app.post("/api/v1/test/inject-failure", &json!({"country": "BR", "failure_count": 100}))
        .await
        .expect(200);

    let headers = [("traceparent", CALLER), ("content-type", "application/json")];
    let brazilian = body(Country::Br, "12345678909");
    let first = app.send(Method::POST, "/api/v1/applications", &headers, brazilian.to_string()).await;
    let mut ids = vec![first.expect(201)["id"].as_str().unwrap().to_owned()];
    ids.push(app.submit(&brazilian).await);
    for id in &ids {
        assert_eq!(app.decided(id).await, "UNDER_REVIEW");
        assert_eq!(app.reasons(id).await, ["PROVIDER_UNAVAILABLE"]);
    }
    let spain = app.submit(&spanish()).await;
    assert_eq!(app.decided(&spain).await, "APPROVED", "the other countries are not affected");

    // Metrics.
    let breaker =
        async |labels: &str| app.metric(&format!("provider_circuit_breaker_state{{{labels}}}")).await;
    assert_eq!(breaker(LABELS).await, 1.0);
    assert_eq!(breaker(r#"country="ES",provider="asnef_cirbe""#).await, 0.0);
    let opened = format!("provider_circuit_breaker_transitions_total{{{LABELS},to=\"open\"}}");
    assert_eq!(app.metric(&opened).await, 1.0);
    let calls = async |status: &str| {
        app.metric(&format!("provider_calls_total{{{LABELS},status=\"{status}\"}}")).await
    };
    assert!(calls("server_error").await >= 5.0);
    assert_eq!(calls("success").await, 0.0);

    // Trace.
    let spans = collector.trace(TRACE_ID, &["process_credit_application", "call_banking_provider"]).await;
    let failed: Vec<_> = spans.iter().filter(|span| span.name == "call_banking_provider").collect();
    assert!(failed.iter().all(|span| span.is_error && span.attribute("provider.status") == "server_error"));
    let refused = |span: &crate::support::otlp::ReceivedSpan| {
        span.name == "fetch_banking_data" && span.attribute("circuit_breaker.state") == "open"
    };
    eventually("a call that the open breaker rejected", async || {
        collector.spans().iter().any(refused).then_some(())
    })
    .await;

    // Log.
    let lines = app.log.lines().await;
    let line = lines.iter().find(|line| line["message"] == "circuit breaker opened").unwrap();
    assert_eq!(line["country"], "BR");
    assert!(line["failure_count"].as_u64().is_some_and(|count| count >= 5), "{line}");
    assert!(line["last_failure"].as_str().is_some_and(|text| text.starts_with("server_error")), "{line}");

    // Health report.
    let health = app.get("/health/detailed").await.expect(200);
    assert_eq!(health["status"], "degraded");
    let breakers = health["breakers"].as_array().unwrap();
    let state = |country: &str| {
        breakers.iter().find(|breaker| breaker["country"] == country).unwrap()["state"].clone()
    };
    assert_eq!((state("BR"), state("ES")), (json!("open"), json!("closed")));

    check_alert_and_dashboard(&app.get("/metrics").await.text());
}
