//! Names and documents stay where they belong: in the sealed columns, and in answers to those who may read them.

use actix_web::http::Method;
use aval::domain::application::Country;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::builders::{body, with};

const NAME: &str = "Xochiquetzalina Quetzalcoatlzin";
/// Clean, malformed report, server error, thin file, and one that nobody scripted.
const DOCUMENTS: [&str; 5] = ["12345678Z", "90000014W", "90000011E", "90000008L", "48214907F"];

/// Everything in the database but the two sealed columns, as text.
async fn database_text(app: &TestApp) -> String {
    let mut text = String::new();
    for table in [
        "outbox",
        "pending_jobs",
        "job_history",
        "failed_jobs",
        "audit_logs",
        "decisions",
        "provider_retries",
    ] {
        text += &app.sql(&format!("SELECT string_agg(t::text, ' ') FROM {table} t")).await;
    }
    text + &app
        .sql(
            "SELECT string_agg((to_jsonb(t) - 'full_name' - 'identity_document')::text, ' ') FROM applications t",
        )
        .await
}

fn assert_private(place: &str, text: &str, documents: &[&str]) {
    assert!(!text.is_empty(), "{place} is empty");
    for secret in documents.iter().chain(&[NAME, "Xochiquetzalina", "Quetzalcoatlzin"]) {
        if let Some(at) = text.find(secret) {
            let context: String =
                text[..at].chars().rev().take(120).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{place} has {secret} after {context:?}");
        }
    }
}

#[actix_rt::test]
async fn no_name_and_no_document_leaves_the_sealed_columns() {
    let app = TestApp::start(&[
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__CONSECUTIVE_FAILURES", "10000"),
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__MIN_CALLS", "10000"),
    ])
    .await;
    let mut socket = app.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    let mut ids = Vec::new();
    for document in DOCUMENTS {
        let id = app.submit(&with(body(Country::Es, document), "full_name", NAME)).await;
        app.decided(&id).await;
        ids.push(id);
    }
    let fault = json!({"failure_count": 1000, "target": "application_actor", "country": "MX"});
    app.post("/api/v1/test/inject-failure", &fault).await.expect(200);
    let panicking = app.submit(&with(body(Country::Mx, "HERM850101MDFRRR08"), "full_name", NAME)).await;
    assert_eq!(app.decided(&panicking).await, "UNDER_REVIEW");
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "1");
    app.patch(&format!("/api/v1/applications/{panicking}"), &json!({"status": "REJECTED"})).await.expect(200);
    app.delete(&format!("/api/v1/applications/{}", ids[0])).await;

    let documents = [&DOCUMENTS[..], &["HERM850101MDFRRR08"]].concat();
    let mut frames = String::new();
    loop {
        let frame = socket.json().await;
        frames += &frame.to_string();
        if frame["data"]["id"] == panicking.as_str() && frame["data"]["status"] == "REJECTED" {
            break;
        }
    }
    assert_private("the log", &app.log.text().await, &documents);
    assert_private("/metrics", &app.get("/metrics").await.text(), &documents);
    assert_private("WebSocket frames", &frames, &documents);
    assert_private("the database", &database_text(&app).await, &documents);
    for id in &ids[1..] {
        let mut read = app.get(&format!("/api/v1/applications/{id}")).await.expect(200);
        assert_eq!(read["full_name"], NAME);
        read["full_name"] = Value::Null;
        assert_private("an application as read", &read.to_string(), &documents);
        let decision = app.get(&format!("/api/v1/applications/{id}/decision")).await;
        assert_private("a decision", &decision.text(), &documents);
    }
}

#[actix_rt::test]
async fn what_is_refused_is_repeated_neither_in_the_answer_nor_in_the_log() {
    let app = TestApp::start_idle().await;
    let wrong = "48214907A";
    let refused = app.post("/api/v1/applications", &with(body(Country::Es, wrong), "full_name", NAME)).await;
    let bodies = [
        refused.expect(422),
        app.post("/api/v1/applications", &json!({"country": NAME, "identity_document": [wrong]}))
            .await
            .expect(422),
        app.get(&format!("/api/v1/applications/{wrong}")).await.expect(400),
        app.get(&format!("/api/v1/applications?country={wrong}")).await.expect(422),
        app.get(&format!("/no/such/{wrong}")).await.expect(404),
        app.send(
            Method::POST,
            "/api/v1/applications",
            &[("Content-Type", "application/json")],
            format!("{{\"{wrong}"),
        )
        .await
        .expect(400),
    ];
    for body in bodies {
        assert_private("a problem", &body.to_string(), &[wrong]);
    }
    assert_private("the log", &app.log.text().await, &[wrong]);
    assert_private("/metrics", &app.get("/metrics").await.text(), &[wrong]);
}

#[actix_rt::test]
async fn a_database_that_refuses_a_row_does_not_quote_it_in_the_log() {
    let app = TestApp::start_idle().await;
    // PostgreSQL's own message for a broken CHECK quotes the whole row.
    app.execute("ALTER TABLE applications ADD CONSTRAINT refuse_all CHECK (requested_amount < 0) NOT VALID")
        .await;
    let refused =
        app.post("/api/v1/applications", &with(body(Country::Es, "48214907F"), "full_name", NAME)).await;
    assert!(refused.status.is_server_error(), "{:?}", refused);
    assert_private("the answer", &refused.text(), &["48214907F"]);
    let log = app.log.text().await;
    assert_private("the log", &log, &["48214907F"]);
    let name_in_hex: String = NAME.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!log.contains(&name_in_hex), "not in hexadecimal either");
}
