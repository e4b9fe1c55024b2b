//! Operators' routes: health, metrics, documentation and fault injection.

use std::time::Duration;

use actix_web::http::Method;
use aval::app::App;
use aval::clock::Clock;
use aval::domain::application::Country;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::builders::{body, samples, spanish};
use crate::support::engine::settings;
use crate::support::eventually;

#[actix_rt::test]
async fn health_is_good_and_its_details_include_every_part() {
    let app = TestApp::start(&[]).await;
    for prefix in ["", "/api/v1"] {
        for probe in ["/health", "/health/live", "/health/ready"] {
            assert_eq!(app.get(&format!("{prefix}{probe}")).await.expect(200)["status"], "ok");
        }
        let details = app.get(&format!("{prefix}/health/detailed")).await.expect(200);
        assert_eq!(details["status"], "ok", "{details}");
        assert_eq!((&details["database"]["answers"], &details["takes_work"]), (&true.into(), &true.into()));
        let actors = details["actors"].as_array().unwrap();
        assert!(actors.len() >= 7 && actors.iter().all(|actor| actor["alive"] == true), "{actors:?}");
        let breakers = details["breakers"].as_array().unwrap();
        assert_eq!(breakers.len(), Country::ALL.len());
        assert!(breakers.iter().all(|breaker| breaker["state"] == "closed"), "{breakers:?}");
    }
}

#[actix_rt::test]
async fn before_the_database_is_available_only_the_liveness_probe_succeeds() {
    // Accepts connections and never responds.
    let silent_database = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let database = format!("postgres://aval@{}/aval", silent_database.local_addr().unwrap());
    let free_port =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let overrides = [("AVAL__DATABASE__URL", database.as_str()), ("AVAL__SERVER__PORT", free_port.as_str())];
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let starting = actix_rt::spawn(App::start(settings(&overrides), Clock::system(), logger));
    let client = awc::Client::default();
    let fetch = async |path: &str| client.get(format!("http://127.0.0.1:{free_port}{path}")).send().await;
    eventually("the server to listen", async || {
        fetch("/health/live").await.ok().filter(|a| a.status() == 200)
    })
    .await;
    for path in ["/health", "/health/ready", "/health/detailed", "/api/v1/applications", "/metrics"] {
        let mut answer = fetch(path).await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"));
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "unavailable");
    }
    starting.abort();
}

#[actix_rt::test]
async fn metrics_can_be_turned_off() {
    let app = TestApp::start(&[("ENABLE_PROMETHEUS", "false")]).await;
    app.get("/metrics").await.expect(404);
    let document = app.get("/openapi.json").await.expect(200);
    assert!(document["paths"]["/metrics"].is_null() && document["paths"]["/health"].is_object());
}

#[actix_rt::test]
async fn metrics_have_the_documented_names_and_count_by_route_pattern() {
    let app = TestApp::start(&[]).await;
    for (country, document) in samples() {
        let id = app.submit(&body(country, document)).await;
        app.decided(&id).await;
        app.get(&format!("/api/v1/applications/{id}")).await.expect(200);
    }
    app.post("/api/v1/applications", &json!({"country": "ES"})).await.expect(422);
    app.get("/no/such/path").await.expect(404);
    let _socket = app.websocket().await;
    let page = app.get("/metrics").await;
    assert!(page.header("content-type").starts_with("text/plain"), "{}", page.header("content-type"));
    let text = page.text();
    for name in [
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "http_requests_in_progress",
        "applications_created_total",
        "applications_processing_duration_seconds_count",
        "applications_validation_errors_total",
        "worker_tasks_total",
        "worker_task_duration_seconds_count",
        "worker_active_tasks",
        "worker_queue_depth",
        "worker_job_wait_seconds_count",
        "provider_calls_total",
        "provider_call_duration_seconds_count",
        "provider_circuit_breaker_state",
        "db_connections_active",
        "db_connections_idle",
        "websocket_connections_active",
        "actor_mailbox_depth",
        "outbox_lag_seconds",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
    let sample_count = f64::from(u32::try_from(samples().len()).unwrap());
    for (series, value) in [
        (
            r#"http_requests_total{endpoint="/api/v1/applications",method="POST",status_code="201"}"#,
            sample_count,
        ),
        (
            r#"http_requests_total{endpoint="/api/v1/applications/{id}",method="GET",status_code="200"}"#,
            sample_count,
        ),
        (r#"http_requests_total{endpoint="unmatched",method="GET",status_code="404"}"#, 1.0),
        (r#"applications_created_total{country="MX"}"#, 1.0),
        (r#"worker_tasks_total{status="success",task_name="process_credit_application"}"#, sample_count),
        (r#"applications_validation_errors_total{country="ES",error_type="required"}"#, 4.0),
        ("websocket_connections_active", 1.0),
    ] {
        // Some are counted shortly after the commit becomes visible.
        eventually(series, async || (app.metric(series).await == value).then_some(())).await;
    }
    assert!(!text.contains("no/such/path"));
    for (country, provider) in [("ES", "asnef_cirbe"), ("IT", "crif")] {
        let labels = format!("country=\"{country}\",provider=\"{provider}\"");
        assert_eq!(
            app.metric(&format!("provider_calls_total{{{labels},status=\"success\"}}")).await,
            1.0,
            "{text}"
        );
        assert_eq!(app.metric(&format!("provider_circuit_breaker_state{{{labels}}}")).await, 0.0);
    }
}

#[actix_rt::test]
async fn every_documented_operation_is_served() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    let document = app.get("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut operations = 0;
    for (pattern, item) in document["paths"].as_object().unwrap() {
        let path = pattern.replace("{id}", &id).replace("{code}", "ES").replace("{file}", "index.html");
        for method in item.as_object().unwrap().keys() {
            operations += 1;
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = if method == Method::GET { "" } else { "{}" };
            let answer = app.send(method.clone(), &path, &[("Content-Type", "application/json")], body).await;
            assert_ne!(answer.json["detail"], "No route matches this path.", "{method} {path}");
            assert_ne!(answer.status, 405, "{method} {path}");
        }
    }
    assert!(operations >= 24, "{operations}");
}

#[actix_rt::test]
async fn the_documentation_is_served() {
    let app = TestApp::start_idle().await;
    let redirect = app.get("/docs").await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (308, "/docs/"));
    let page = app.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger-ui"));
    assert!(app.get("/docs/swagger-initializer.js").await.text().contains("/openapi.json"));
}

#[actix_rt::test]
async fn without_fault_injection_its_route_does_not_exist() {
    let app = TestApp::start(&[("AVAL__FAULTS__INJECTION", "false")]).await;
    let path = "/api/v1/test/inject-failure";
    let problem = app.post(path, &json!({"country": "ES", "failure_count": 1})).await.expect(404);
    assert_eq!(problem["detail"], "No route matches this path.");
    let document = app.get("/openapi.json").await.expect(200);
    assert!(document["paths"].get(path).is_none());
}

#[actix_rt::test]
async fn invalid_faults_are_rejected() {
    let app = TestApp::start_idle().await;
    for (fault, expected) in [
        (json!({"failure_count": 1}), "/country required"),
        (json!({"country": "ES"}), "/failure_count required"),
        (json!({"country": "ES", "failure_count": -1}), "/failure_count out_of_range"),
        (json!({"country": "ES", "failure_count": 10001}), "/failure_count out_of_range"),
        (json!({"failure_count": 1, "target": "everything"}), "/target unknown_target"),
    ] {
        let answer = app.post("/api/v1/test/inject-failure", &fault).await;
        assert_eq!(answer.field_errors(), [expected]);
    }
}

#[actix_rt::test]
async fn five_injected_failures_open_spains_breaker_and_fallback_decisions_are_repeated() {
    let app = TestApp::start(&[("AVAL__PROVIDERS__DEFAULTS__BREAKER__OPEN_MS", "1500")]).await;
    let mut socket = app.websocket().await;
    socket.subscribe(&json!({"country": "ES"})).await;
    let fault = json!({"country": "ES", "failure_count": 5});
    let armed = app.post("/api/v1/test/inject-failure", &fault).await.expect(200);
    assert_eq!(armed, json!({"target": "provider", "country": "ES", "failure_count": 5}));
    // No other application is processed, so its calls are sequential: three in its first attempt, two in its second.
    let failed = app.submit(&spanish()).await;
    let state = r#"provider_circuit_breaker_state{country="ES",provider="asnef_cirbe"}"#;
    eventually("the breaker to open", async || (app.metric(state).await == 1.0).then_some(())).await;
    let calls = app.simulator().calls(Country::Es);
    assert_eq!(calls, 5);

    let sixth = app.submit(&spanish()).await;
    assert_eq!(app.decided(&sixth).await, "UNDER_REVIEW");
    assert_eq!(app.reasons(&sixth).await, ["PROVIDER_UNAVAILABLE"]);
    let decided = app.get(&format!("/api/v1/applications/{sixth}")).await.expect(200);
    assert_eq!(decided["risk_score"], Value::Null);
    let figures = &decided["banking_data"];
    assert_eq!(figures["provider_name"], "ASNEF-CIRBE (FALLBACK - Circuit Open)");
    let actual = (
        &figures["fallback"],
        &figures["credit_score"],
        &figures["total_debt"],
        &figures["monthly_obligations"],
    );
    assert_eq!(actual, (&true.into(), &500.into(), &"50000.00".into(), &"2000.00".into()));
    assert_eq!(app.simulator().calls(Country::Es), calls, "an open breaker must make no calls");
    assert_eq!(app.get("/health/detailed").await.expect(200)["status"], "degraded");
    app.get("/health/ready").await.expect(200);

    let mexican = app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    assert_eq!(app.decided(&mexican).await, "APPROVED");

    let seen = socket.updates_until(&sixth, "APPROVED").await;
    assert_eq!(seen, ["PENDING", "VALIDATING", "UNDER_REVIEW", "APPROVED"]);
    app.reaches(&failed, "APPROVED").await;
    assert_eq!(app.trail(&sixth).await, "PENDING VALIDATING UNDER_REVIEW APPROVED");
    assert_eq!(app.metric(state).await, 0.0);
}

#[actix_rt::test]
async fn a_rate_limiting_bureau_is_called_again_after_its_pause_without_using_an_attempt() {
    let app = TestApp::start(&[]).await;
    let id = app.submit(&body(Country::Es, "90000016G")).await;
    let limited = r#"provider_calls_total{country="ES",provider="asnef_cirbe",status="rate_limited"}"#;
    eventually("the bureau to limit the rate", async || (app.metric(limited).await >= 1.0).then_some(()))
        .await;
    let first = std::time::Instant::now();
    eventually("the bureau to be called again", async || {
        (app.simulator().calls(Country::Es) >= 2).then_some(())
    })
    .await;
    assert!(first.elapsed() > Duration::from_secs(1), "the requested pause is two seconds");
    let jobs = "SELECT count(*) || ' ' || (max(attempt) <= 1) FROM pending_jobs";
    assert_eq!(app.sql(jobs).await, "1 true");
    let status = app.get(&format!("/api/v1/applications/{id}/status")).await.expect(200);
    assert_eq!(status["status"], "VALIDATING");
    let breaker = r#"provider_circuit_breaker_state{country="ES",provider="asnef_cirbe"}"#;
    assert_eq!(app.metric(breaker).await, 0.0, "a 429 must not count as a failure");
}

#[actix_rt::test]
async fn every_actor_survives_an_injected_panic_and_applications_are_decided_and_pushed() {
    let app = TestApp::start(&[]).await;
    let mut socket = app.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    for target in
        ["application_actor", "provider_gateway", "scheduler", "supervisor", "outbox_relay", "broadcaster"]
    {
        let fault = json!({"failure_count": 1, "target": target});
        app.post("/api/v1/test/inject-failure", &fault).await.expect(200);
        let id = app.submit(&spanish()).await;
        assert_eq!(app.decided(&id).await, "APPROVED", "{target}");
        assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED", "{target}");
        let seen = socket.updates_until(&id, "APPROVED").await;
        assert_eq!(
            seen,
            ["PENDING", "VALIDATING", "APPROVED"],
            "{target}: each change must be pushed once and in order"
        );
        let actor = if target == "application_actor" { "job" } else { target };
        let restarts = format!("actor_restarts_total{{actor=\"{actor}\"}}");
        eventually(target, async || (app.metric(&restarts).await == 1.0).then_some(())).await;
    }
}

#[actix_rt::test]
async fn a_panic_of_the_write_batcher_fails_only_one_request() {
    let app = TestApp::start(&[]).await;
    let fault = json!({"failure_count": 1, "target": "write_batcher"});
    app.post("/api/v1/test/inject-failure", &fault).await.expect(200);
    let hit = app.post("/api/v1/applications", &spanish()).await;
    assert!(hit.status == 201 || hit.status == 503, "{:?}", hit.json);
    let accepted = eventually("the write batcher to be restarted", async || {
        let answer = app.post("/api/v1/applications", &spanish()).await;
        (answer.status == 201).then(|| answer.json["id"].as_str().unwrap().to_owned())
    })
    .await;
    assert_eq!(app.decided(&accepted).await, "APPROVED");
}

#[actix_rt::test]
async fn a_reconnecting_websocket_client_gets_missed_events() {
    let app = TestApp::start(&[]).await;
    let mut socket = app.websocket().await;
    let position = socket.subscribe(&json!({"channel": "applications"})).await;
    drop(socket);
    let id = app.submit(&spanish()).await;
    app.decided(&id).await;

    let mut back = app.websocket().await;
    let topic = json!({"channel": "applications", "epoch": position["epoch"], "offset": position["offset"]});
    let mut message = topic.clone();
    message["action"] = "subscribe".into();
    back.send(&message).await;
    let mut statuses = Vec::new();
    let mut recovered = None;
    while recovered.is_none() || statuses.len() < 3 {
        let received = back.json().await;
        match received["type"].as_str().unwrap() {
            "subscribed" => recovered = Some(received["recovered"].clone()),
            _ => statuses.push(received["data"]["status"].as_str().unwrap().to_owned()),
        }
    }
    assert_eq!(
        (recovered, statuses),
        (Some(true.into()), vec!["PENDING".into(), "VALIDATING".into(), "APPROVED".into()])
    );

    back.send(&json!({"action": "ping"})).await;
    assert_eq!(back.json().await, json!({"type": "pong"}));
    for (message, code) in [
        (json!({"action": "dance"}), "unknown_action"),
        (json!({"action": "subscribe"}), "bad_topic"),
        (json!({"action": "subscribe", "country": "FR"}), "unknown_country"),
        (json!(["subscribe"]), "malformed_message"),
    ] {
        back.send(&message).await;
        let error = back.json().await;
        assert_eq!((&error["type"], &error["code"]), (&"error".into(), &code.into()));
    }
}

#[actix_rt::test]
async fn a_body_that_never_arrives_is_a_408_and_a_plain_request_to_the_websocket_is_rejected() {
    let app = TestApp::start_idle().await;
    app.get("/api/v1/ws").await.expect(400);
    let slow = TestApp::start(&[("AVAL__SERVER__REQUEST_TIMEOUT_MS", "200")]).await;
    let head = format!(
        "POST /api/v1/applications HTTP/1.1\r\nHost: aval\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        slow.token
    );
    let started = std::time::Instant::now();
    let answer = slow.send_raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"request_timeout\""), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_catalogue_of_problems_matches_its_snapshot() {
    let catalogue: Vec<String> = aval::http::problem::CATALOGUE
        .iter()
        .map(|kind| format!("{} {}: {}", kind.status, kind.code, kind.title))
        .collect();
    insta::assert_snapshot!("problem_catalogue", catalogue.join("\n"));
}
