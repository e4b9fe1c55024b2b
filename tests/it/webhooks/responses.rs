//! The responses to webhooks.

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::Method;
use aval::domain::application::Country;
use serde_json::{Value, json};

use super::{Message, OTHER_SECRET, PATH, SECRET, confirmed, key, waiting};
use crate::support::app::TestApp;
use crate::support::db::TestDatabase;

/// A problem without the parts that differ between requests.
fn problem(mut json: Value) -> Value {
    json["request_id"] = Value::Null;
    json
}

#[actix_rt::test]
async fn every_invalid_signature_gets_the_same_response() {
    let app = TestApp::start_idle().await;
    let message = confirmed(&waiting(&app, Country::Es).await);
    let body = message.body.to_string();
    let time = app.engine().resources.clock.now().timestamp().to_string();
    let good = key(SECRET).sign(&message.id, time.parse().unwrap(), body.as_bytes());
    let legacy = key(SECRET).sign_legacy(body.as_bytes());
    let (id, time, good) = (message.id.as_str(), time.as_str(), good.as_str());
    let attempts: [&[(&str, &str)]; 9] = [
        &[],
        &[("webhook-id", id), ("webhook-timestamp", time)],
        &[("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", "v1,AAAA")],
        &[("webhook-id", "msg_other"), ("webhook-timestamp", time), ("webhook-signature", good)],
        &[("webhook-id", id), ("webhook-timestamp", "1614265330"), ("webhook-signature", good)],
        &[("webhook-id", id), ("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", good)],
        &[("X-Webhook-Signature", "00")],
        &[("X-Webhook-Signature", good)],
        // The legacy signature must not bypass the current one.
        &[("webhook-id", id), ("webhook-timestamp", time), ("X-Webhook-Signature", &legacy)],
    ];
    let mut answers = Vec::new();
    for headers in attempts {
        answers.push(app.send(Method::POST, PATH, headers, body.clone()).await.expect(401));
    }
    answers.push(message.send_signed(&app, OTHER_SECRET, 0).await.expect(401));
    answers.push(message.send_signed(&app, SECRET, 310).await.expect(401));
    answers.push(message.send_signed(&app, SECRET, -310).await.expect(401));
    // The server must verify the signature before it parses the body.
    let garbage = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", good)];
    answers.push(app.send(Method::POST, PATH, &garbage, "no JSON").await.expect(401));
    let first = problem(answers[0].clone());
    for answer in answers {
        assert_eq!(problem(answer), first);
    }
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "0");
    let series = r#"webhook_events_total{provider="unknown",result="unauthenticated"}"#;
    assert_eq!(app.metric(series).await, 13.0);
    assert_eq!(message.send(&app).await.expect(200)["applied"], true);
}

#[actix_rt::test]
async fn a_recorded_webhook_cannot_be_replayed_after_its_tolerance() {
    let app = TestApp::start_idle().await;
    let message = confirmed(&waiting(&app, Country::Es).await);
    message.send_signed(&app, SECRET, 290).await.expect(200);
    assert_eq!(message.send_signed(&app, SECRET, 290).await.expect(200), json!({"duplicate": true}));
    app.engine().resources.clock.advance(Duration::from_secs(30));
    message.send_signed(&app, SECRET, 320).await.expect(401);
    assert_eq!(message.send_signed(&app, SECRET, -290).await.expect(200), json!({"duplicate": true}));
}

#[actix_rt::test]
async fn an_oversized_body_is_rejected_whether_it_is_declared_or_streamed() {
    let app = TestApp::start_idle().await;
    let head = |length: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: a\r\nX-Webhook-Signature: {}\r\n{length}\r\n\r\n",
            "0".repeat(64)
        )
    };
    let declared = app.send_raw(head("Content-Length: 1048577").as_bytes()).await;
    assert!(declared.starts_with("HTTP/1.1 413"), "{declared}");
    let mut chunked = head("Transfer-Encoding: chunked").into_bytes();
    let chunk = [b"40000\r\n".as_slice(), &vec![b' '; 0x40000], b"\r\n"].concat();
    chunked.extend(chunk.repeat(4));
    chunked.extend(b"1\r\n \r\n0\r\n\r\n");
    let streamed = app.send_raw(&chunked).await;
    assert!(streamed.starts_with("HTTP/1.1 413"), "{streamed}");
    // A body of exactly the limit is read and verified.
    let mut full = head("Content-Length: 1048576").into_bytes();
    full.extend(vec![b' '; 1 << 20]);
    let full_size = app.send_raw(&full).await;
    assert!(full_size.starts_with("HTTP/1.1 401"), "{full_size}");
}

#[actix_rt::test]
async fn an_invalid_payload_gets_field_errors() {
    let app = TestApp::start_idle().await;
    let id = waiting(&app, Country::Es).await;
    let bad = confirmed(&id).with("total_debt", "1e3").with("outcome", "maybe").with("amount", 1);
    let bad = bad.without("occurred_at").send(&app).await;
    assert_eq!(
        bad.field_errors(),
        [
            "/outcome unknown_outcome",
            "/total_debt bad_amount",
            "/occurred_at required",
            "/amount unknown_field"
        ]
    );
    bad.expect(422);
    for reference in ["ref-1234-5678-z", "ES_GARCIA.7"] {
        let personal = confirmed(&id).with("provider_reference", reference).send(&app).await;
        assert_eq!(personal.field_errors(), ["/provider_reference personal_data"]);
        personal.expect(422);
    }
    let time = app.engine().resources.clock.now().timestamp();
    for body in ["", "{", "[]", "{\"a\": 1, \"a\": 2}", "\u{feff}{}"] {
        let signature = key(SECRET).sign("msg_1", time, body.as_bytes());
        let time = time.to_string();
        let headers =
            [("webhook-id", "msg_1"), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
        let answer = app.send(Method::POST, PATH, &headers, body).await;
        assert_eq!(answer.expect(400)["code"], "malformed_request", "{body}");
    }
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "0");
}

#[actix_rt::test]
async fn a_secret_is_only_valid_for_its_own_countries() {
    let app = TestApp::start(&[("AVAL__SECRETS__WEBHOOKS__BR", OTHER_SECRET)]).await;
    app.engine().handles.scheduler.ask(aval::actors::scheduler::StopClaiming).await.unwrap();
    let (spanish, brazilian) = (waiting(&app, Country::Es).await, waiting(&app, Country::Br).await);
    confirmed(&brazilian).send_signed(&app, SECRET, 0).await.expect(404);
    confirmed(&spanish).send_signed(&app, OTHER_SECRET, 0).await.expect(404);
    confirmed("01890a5d-ac96-774b-bcce-b302099a8057").send(&app).await.expect(404);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "0");
    confirmed(&spanish).send_signed(&app, SECRET, 0).await.expect(200);
    confirmed(&brazilian).send_signed(&app, OTHER_SECRET, 0).await.expect(200);
    let keys = "SELECT string_agg(split_part(idempotency_key, '/', 1), ' ' ORDER BY id) FROM webhook_events";
    assert_eq!(app.sql(keys).await, "ASNEF-CIRBE Serasa Experian");
}

#[actix_rt::test]
async fn all_current_secrets_are_valid_during_a_rotation() {
    let both = format!("{SECRET},{OTHER_SECRET}");
    let app = TestApp::start(&[("AVAL__SECRETS__WEBHOOKS__ES", &both)]).await;
    for secret in [SECRET, OTHER_SECRET] {
        let message = confirmed(&waiting(&app, Country::Es).await);
        message.send_signed(&app, secret, 0).await.expect(200);
    }
    let message = confirmed(&waiting(&app, Country::Es).await);
    message.send_signed(&app, "whsec_YSB0aGlyZCBzZWNyZXQgb2YgZW5vdWdoIGJ5dGVz", 0).await.expect(401);
    // The same webhook is recognized if it is signed with either secret or with both.
    message.send_signed(&app, SECRET, 0).await.expect(200);
    let time = app.engine().resources.clock.now().timestamp();
    let body = message.body.to_string();
    let list = [OTHER_SECRET, SECRET].map(|secret| key(secret).sign(&message.id, time, body.as_bytes()));
    let (time, list) = (time.to_string(), list.join(" "));
    let headers =
        [("webhook-id", message.id.as_str()), ("webhook-timestamp", &time), ("webhook-signature", &list)];
    let answer = app.send(Method::POST, "/api/v1/webhooks/provider", &headers, body).await;
    assert_eq!(answer.expect(200), json!({"duplicate": true}));
}

#[actix_rt::test]
async fn a_repeated_webhook_is_a_duplicate_and_its_identifier_is_bound_to_its_body() {
    let app = TestApp::start_idle().await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id).with("outcome", "needs_review");
    let first = message.send(&app).await.expect(200);
    assert_eq!((&first["duplicate"], &first["applied"]), (&json!(false), &json!(true)));
    assert_eq!(first["status"], "UNDER_REVIEW");
    assert_eq!(message.send(&app).await.expect(200), json!({"duplicate": true}));
    message.clone().with("credit_score", 300).send(&app).await.expect(409);
    // The raw bytes are compared, not the parsed content.
    let mut other_bytes = message.clone();
    other_bytes.body = json!({"provider_reference": message.body["provider_reference"]});
    for (name, value) in message.body.as_object().unwrap() {
        let value = if name == "total_debt" { json!("0") } else { value.clone() };
        other_bytes = other_bytes.with(name, value);
    }
    other_bytes.send(&app).await.expect(409);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "1");
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW");
    let counted =
        |result: &str| format!(r#"webhook_events_total{{provider="asnef_cirbe",result="{result}"}}"#);
    assert_eq!(app.metric(&counted("applied")).await, 1.0);
    assert_eq!(app.metric(&counted("duplicate")).await, 1.0);
    assert_eq!(app.metric(&counted("conflict")).await, 2.0);
}

#[actix_rt::test]
async fn a_legacy_signature_is_accepted_if_enabled_and_for_recent_events() {
    let app = TestApp::start(&[("AVAL__WEBHOOKS__LEGACY__PT", "false")]).await;
    app.engine().handles.scheduler.ask(aval::actors::scheduler::StopClaiming).await.unwrap();
    let now = app.engine().resources.clock.now();
    let days_ago = |days: i64| json!((now - chrono::TimeDelta::days(days)).to_rfc3339());
    let id = waiting(&app, Country::Es).await;
    let message = |days| confirmed(&id).with("outcome", "needs_review").with("occurred_at", days_ago(days));
    for (days, refusal) in [(30, "/occurred_at too_old"), (-1, "/occurred_at in_the_future")] {
        let answer = message(days).send_legacy(&app, SECRET).await;
        assert_eq!(answer.field_errors(), [refusal]);
        answer.expect(422);
    }
    let recent: Message = message(28);
    assert_eq!(recent.send_legacy(&app, SECRET).await.expect(200)["applied"], true);
    assert_eq!(recent.send_legacy(&app, SECRET).await.expect(200), json!({"duplicate": true}));
    recent.clone().with("credit_score", 301).send_legacy(&app, SECRET).await.expect(409);
    recent.send_legacy(&app, OTHER_SECRET).await.expect(401);
    // The setting applies to one bureau. If it is off, a legacy signature is not valid for the bureau's country.
    let portuguese = confirmed(&waiting(&app, Country::Pt).await).with("occurred_at", days_ago(0));
    portuguese.send_legacy(&app, SECRET).await.expect(404);
    portuguese.send(&app).await.expect(200);
}

#[actix_rt::test]
async fn bureaus_that_share_a_secret_have_separate_identifiers() {
    let app = TestApp::start_idle().await;
    for country in [Country::Es, Country::It] {
        let mut message = confirmed(&waiting(&app, country).await).with("outcome", "needs_review");
        message.id = "msg_1".to_owned();
        assert_eq!(message.send(&app).await.expect(200)["applied"], true);
        assert_eq!(message.send(&app).await.expect(200), json!({"duplicate": true}));
        // With the legacy signature, the same applies to references.
        let legacy = confirmed(&waiting(&app, country).await).with("provider_reference", "ref-1");
        let legacy = legacy.with("occurred_at", app.engine().resources.clock.now().to_rfc3339());
        legacy.send_legacy(&app, SECRET).await.expect(200);
        assert_eq!(legacy.send_legacy(&app, SECRET).await.expect(200), json!({"duplicate": true}));
    }
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "4");
}

#[actix_rt::test]
async fn a_webhook_is_still_recognized_when_its_bureau_gets_its_own_secret() {
    let database = Rc::new(TestDatabase::create().await);
    let shared = TestApp::start_on(Rc::clone(&database), &[]).await;
    shared.engine().handles.scheduler.ask(aval::actors::scheduler::StopClaiming).await.unwrap();
    let message = confirmed(&waiting(&shared, Country::Es).await);
    message.send(&shared).await.expect(200);
    let own = TestApp::start_on(database, &[("AVAL__SECRETS__WEBHOOKS__ES", OTHER_SECRET)]).await;
    let again = message.send_signed(&own, OTHER_SECRET, 0).await;
    assert_eq!(again.expect(200), json!({"duplicate": true}));
}

#[actix_rt::test]
async fn identifiers_of_webhooks_are_not_stored_in_plain_text() {
    let app = TestApp::start_idle().await;
    let mut message = confirmed(&waiting(&app, Country::Es).await);
    message.id = "garcia-12345678Z".to_owned();
    message.send(&app).await.expect(200);
    let key = app.sql("SELECT idempotency_key FROM webhook_events").await;
    let hash = key.strip_prefix("ASNEF-CIRBE/").unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    let row = app.sql("SELECT e::text FROM webhook_events e").await;
    assert!(!row.contains("12345678Z") && !row.contains("garcia"), "{row}");
}

#[actix_rt::test]
async fn bureaus_that_share_a_secret_are_limited_separately() {
    let app = TestApp::start_idle_with(&[
        ("AVAL__LIMITS__ENABLED", "true"),
        ("AVAL__LIMITS__WEBHOOK__USER__PER_MINUTE", "1"),
        ("AVAL__LIMITS__WEBHOOK__USER__BURST", "1"),
    ])
    .await;
    let (spanish, italian) = (waiting(&app, Country::Es).await, waiting(&app, Country::It).await);
    confirmed(&spanish).send(&app).await.expect(200);
    confirmed(&spanish).send(&app).await.expect(429);
    // Webhooks for unknown applications count only against the limit of the sender's address.
    for _ in 0..2 {
        confirmed("01890a5d-ac96-774b-bcce-b302099a8057").send(&app).await.expect(404);
    }
    confirmed(&italian).send(&app).await.expect(200);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "2");
}
