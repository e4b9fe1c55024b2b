//! Traces: the tree of an application's spans, the trace context in responses, logs, rows and events, and failing
//! collectors.

use std::rc::Rc;

use actix_web::http::Method;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::db::TestDatabase;
use crate::support::eventually;
use crate::support::otlp::{Collector, ReceivedSpan};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// The `traceparent` header of a client.
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const DOCUMENT: &str = "12345678Z";

fn with<'a>(
    collector: &'a [(&'static str, String); 3],
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    collector.iter().map(|(key, value)| (*key, value.as_str())).chain(more.iter().copied()).collect()
}

/// Submits an application with this `traceparent` header. Returns its identifier and the `traceresponse` header.
async fn submit_traced(app: &TestApp, caller: &str) -> (String, String) {
    let headers = [("traceparent", caller), ("content-type", "application/json")];
    let body = spanish().to_string();
    let answer = app.send(Method::POST, "/api/v1/applications", &headers, body).await;
    let response = answer.header("traceresponse").to_owned();
    (answer.expect(201)["id"].as_str().unwrap().to_owned(), response)
}

/// The only span with this name.
fn one<'a>(spans: &'a [ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// The names of the spans from the root of the trace to `span`.
fn path(spans: &[ReceivedSpan], span: &ReceivedSpan) -> Vec<String> {
    let mut names = vec![span.name.clone()];
    let mut parent = &span.parent_id;
    while let Some(found) = spans.iter().find(|span| span.id == *parent) {
        names.insert(0, found.name.clone());
        parent = &found.parent_id;
    }
    names
}

#[actix_rt::test]
async fn the_spans_of_an_application_form_one_tree_across_two_instances() {
    let collector = Collector::start();
    let exporting = collector.settings();
    let database = Rc::new(TestDatabase::create().await);
    let api =
        TestApp::start_on(Rc::clone(&database), &with(&exporting, &[("AVAL__INSTANCE__ROLES", "api,relay")]))
            .await;
    let worker = TestApp::start_on(database, &with(&exporting, &[("AVAL__INSTANCE__ROLES", "worker")])).await;
    let mut socket = api.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    let (id, response) = submit_traced(&api, CALLER).await;
    assert_eq!(api.decided(&id).await, "APPROVED");

    let spans = collector
        .trace(
            TRACE_ID,
            &[
                "POST /api/v1/applications",
                "process_credit_application",
                "fetch_banking_data",
                "call_banking_provider",
                "apply_business_rules",
                "broadcast_event",
            ],
        )
        .await;
    let request = one(&spans, "POST /api/v1/applications");
    assert_eq!(request.parent_id, "00f067aa0ba902b7", "the parent must be the client's span");
    assert_eq!(response, format!("00-{TRACE_ID}-{}-01", request.id));
    assert_eq!(request.attribute("http.response.status_code"), "201");
    assert_eq!(request.attribute("http.route"), "/api/v1/applications");
    assert_eq!(request.attribute("user.id").len(), 36);

    let job = one(&spans, "process_credit_application");
    assert_eq!(job.parent_id, request.id);
    assert_eq!(job.attribute("application.id"), id);
    assert_eq!(job.attribute("application.country"), "ES");
    assert_eq!(job.attribute("application.status"), "APPROVED");
    assert_eq!(job.attribute("job.status"), "success");
    let fetch = one(&spans, "fetch_banking_data");
    assert_eq!((&fetch.parent_id, fetch.attribute("provider.name")), (&job.id, "ASNEF-CIRBE"));
    let call = one(&spans, "call_banking_provider");
    assert_eq!((&call.parent_id, call.attribute("circuit_breaker.state")), (&fetch.id, "closed"));
    assert_eq!(call.attribute("provider.status"), "success");
    assert_eq!(one(&spans, "apply_business_rules").parent_id, job.id);
    assert!(!spans.iter().any(|span| span.is_error), "{spans:#?}");

    let statement = one(&spans, "postgresql insert_applications");
    assert_eq!(
        path(&spans, statement),
        ["POST /api/v1/applications", "grouped_write", "commit_group", "postgresql insert_applications"]
    );
    let writes =
        ["postgresql begin_jobs", "postgresql store_decisions"].map(|name| path(&spans, one(&spans, name)));
    assert!(writes.iter().all(|path| path.contains(&"process_credit_application".to_owned())), "{writes:?}");

    assert_ne!(request.instance, job.instance);
    for span in &spans {
        let of_worker = path(&spans, span).iter().any(|name| name == "process_credit_application");
        let expected =
            if of_worker && span.name != "broadcast_event" { &job.instance } else { &request.instance };
        assert_eq!(&span.instance, expected, "{span:?}");
    }
    let broadcasts: Vec<_> = spans.iter().filter(|span| span.name == "broadcast_event").collect();
    assert!(broadcasts.iter().any(|span| span.parent_id == request.id), "{broadcasts:#?}");
    for personal in [spanish()["full_name"].as_str().unwrap(), DOCUMENT] {
        assert!(!collector.has_received(personal), "{personal}");
    }

    // The events identify the spans that caused them.
    let mut traced = Vec::new();
    while traced.len() < 3 {
        let update = socket.json().await;
        traced.push(update["traceparent"].as_str().unwrap().to_owned());
    }
    let named = |span: &ReceivedSpan| format!("00-{TRACE_ID}-{}-01", span.id);
    assert_eq!(traced, [named(request), named(job), named(job)]);
    drop(worker);
}

#[actix_rt::test]
async fn every_log_line_of_a_request_and_its_job_has_the_trace() {
    let app = TestApp::start(&[]).await;
    let one_failure = json!({"country": "ES", "failure_count": 1});
    app.post("/api/v1/test/inject-failure", &one_failure).await.expect(200);
    let (id, response) = submit_traced(&app, CALLER).await;
    assert_eq!(response, CALLER, "without an exporter, the response must contain the client's trace context");
    assert_eq!(app.decided(&id).await, "APPROVED");
    let lines = app.log.lines().await;
    let of_trace = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message && line["trace_id"] == TRACE_ID);
        found.unwrap_or_else(|| panic!("no line {message:?} in {lines:#?}"))
    };
    assert_eq!(of_trace("request completed")["account"].as_str().unwrap().len(), 36);
    let decided = of_trace("application decided");
    assert_eq!((&decided["span_id"], &decided["application_id"]), (&json!("00f067aa0ba902b7"), &json!(id)));
    assert_eq!((&decided["country"], &decided["status"]), (&json!("ES"), &json!("APPROVED")));
    assert!(decided["requested_amount"].as_str().is_some_and(|amount| amount.contains('.')), "{decided}");
    of_trace("bureau call failed");
}

#[actix_rt::test]
async fn a_request_without_a_trace_context_gets_one_that_its_job_and_events_carry() {
    let app = TestApp::start(&[]).await;
    let headers = [("content-type", "application/json")];
    let body = spanish().to_string();
    let answer = app.send(Method::POST, "/api/v1/applications", &headers, body).await;
    let generated = answer.header("traceresponse").to_owned();
    let id = answer.expect(201)["id"].as_str().unwrap().to_owned();
    assert!(generated.ends_with("-00"), "the new trace must not be sampled: {generated}");
    app.decided(&id).await;
    let stored = format!(
        "SELECT string_agg(DISTINCT traceparent, ' ') FROM (SELECT traceparent FROM outbox WHERE subject = '{id}' \
         UNION ALL SELECT traceparent FROM job_history WHERE application_id = '{id}' \
         UNION ALL SELECT traceparent FROM audit_logs WHERE application_id = '{id}') t"
    );
    assert_eq!(app.sql(&stored).await, generated);
    let audit = app.get(&format!("/api/v1/applications/{id}/audit")).await.expect(200);
    assert_eq!(audit["entries"][0]["trace_id"].as_str(), generated.split('-').nth(1));
    assert_eq!(app.metric("trace_spans_finished_total").await, 0.0);
}

#[actix_rt::test]
async fn requests_are_not_affected_when_the_collector_is_killed_stalls_or_recovers() {
    let mut collector = Collector::start();
    let exporting = collector.settings();
    let quick = [("AVAL__TELEMETRY__EXPORT_TIMEOUT_MS", "200"), ("AVAL__TELEMETRY__MAX_QUEUED_SPANS", "64")];
    let app = TestApp::start(&with(&exporting, &quick)).await;
    let trace = |number: u32| format!("{number:032x}");
    let request = async |number: u32| {
        let caller = format!("00-{}-00f067aa0ba902b7-01", trace(number));
        let headers = [("traceparent", caller.as_str())];
        app.send(Method::GET, "/api/v1/countries", &headers, "").await.expect(200);
    };
    let failed = async || app.metric("trace_spans_exported_total{result=\"failed\"}").await;
    request(1).await;
    collector.trace(&trace(1), &["GET /api/v1/countries"]).await;

    collector.kill().await;
    request(2).await;
    eventually("a failed export", async || (failed().await > 0.0).then_some(())).await;
    collector.restart();
    request(3).await;
    collector.trace(&trace(3), &["GET /api/v1/countries"]).await;

    collector.stall(true);
    let before = failed().await;
    for number in 100..300 {
        request(number).await;
    }
    eventually("an export that times out", async || (failed().await > before).then_some(())).await;
    collector.stall(false);
    request(4).await;
    collector.trace(&trace(4), &["GET /api/v1/countries"]).await;

    let log = app.log.text().await;
    for message in ["trace export failed: spans are dropped", "trace export works again"] {
        assert!(log.matches(message).count() >= 2, "{message}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn the_last_spans_are_exported_during_the_shutdown_with_the_configured_headers() {
    let collector = Collector::start();
    let exporting = collector.settings();
    let rare = [
        ("AVAL__TELEMETRY__EXPORT_INTERVAL_MS", "3600000"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=credit, authorization=Bearer secret"),
    ];
    let app = TestApp::start(&with(&exporting, &rare)).await;
    let headers = [("traceparent", CALLER)];
    app.send(Method::GET, "/api/v1/countries", &headers, "").await.expect(200);
    app.stop().await;
    let spans: Vec<_> = collector.spans().into_iter().filter(|span| span.trace_id == TRACE_ID).collect();
    one(&spans, "GET /api/v1/countries");
    assert_eq!(collector.header("x-team").as_deref(), Some("credit"));
    assert_eq!(collector.header("authorization").as_deref(), Some("Bearer secret"));
}

#[actix_rt::test]
async fn a_caller_that_does_not_sample_gets_no_spans() {
    let collector = Collector::start();
    let exporting = collector.settings();
    let app = TestApp::start(&with(&exporting, &[])).await;
    let unsampled = CALLER.replace("-01", "-00");
    let (id, response) = submit_traced(&app, &unsampled).await;
    assert!(response.starts_with(&format!("00-{TRACE_ID}-")) && response.ends_with("-00"), "{response}");
    app.decided(&id).await;
    app.stop().await;
    assert!(!collector.spans().iter().any(|span| span.trace_id == TRACE_ID));
}

#[actix_rt::test]
async fn log_lines_contain_the_identifiers_of_accounts_and_not_their_names() {
    let app = TestApp::start(&[]).await;
    let password = "correct horse battery staple";
    let account = json!({"username": "beatriz-lima", "password": password, "role": "analyst"});
    let id = app.post("/api/v1/users", &account).await.expect(201)["id"].clone();
    let login = json!({"username": "beatriz-lima", "password": password});
    app.anonymous().post("/api/v1/auth/login", &login).await.expect(200);
    let change = json!({"disabled": true});
    app.patch(&format!("/api/v1/users/{}", id.as_str().unwrap()), &change).await.expect(200);
    let pause = json!({"paused": true, "reason": "maintenance"});
    app.put("/api/v1/admin/jobs/lanes/ES", &pause).await.expect(200);

    let lines = app.log.lines().await;
    let line = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no line {message:?} in {lines:#?}"))
    };
    let admin = &line("lane paused or resumed by an operator")["account"];
    assert_eq!(admin.as_str().map(str::len), Some(36), "{lines:#?}");
    assert_eq!((&line("account created")["user_id"], &line("account created")["account"]), (&id, admin));
    assert_eq!((&line("account changed")["user_id"], &line("signed in")["account"]), (&id, &id));
    for name in ["beatriz-lima", crate::support::accounts::ADMIN] {
        let named: Vec<_> = lines.iter().filter(|line| line.to_string().contains(name)).collect();
        assert!(named.is_empty(), "{named:#?}");
    }
}
