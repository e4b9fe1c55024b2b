//! Managing endpoints and their secrets.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::{ENDPOINTS, LOOPBACK, Receiver, create, publish};
use crate::support::accounts::{ADMIN, ANALYST};
use crate::support::app::TestApp;

#[actix_rt::test]
async fn an_endpoint_is_created_changed_listed_and_deleted() {
    let app = TestApp::start_idle().await;
    let body = json!({
        "url": "https://example.com/hook", "event_types": ["application.*", "account.created.v1", "application.*"],
        "countries": ["ES", "pt"], "description": "Core banking", "ordered": true,
    });
    let created = app.post(ENDPOINTS, &body).await;
    let path = created.header("location").to_owned();
    let created = created.expect(201);
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(created["event_types"], json!(["application.*", "account.created.v1"]));
    assert_eq!(created["countries"], json!(["ES", "PT"]));
    let (second, _) = create(&app, "https://example.org/", json!({"algorithm": "v1a"})).await;

    let found = app.get(&path).await.expect(200);
    assert!(found.get("secret").is_none());
    assert_eq!((&found["ordered"], &found["enabled"]), (&json!(true), &json!(true)));
    assert_eq!((&found["created_by"], &found["secrets"][0]["algorithm"]), (&json!(ADMIN), &json!("v1")));
    let other = app.get(&format!("{ENDPOINTS}/{second}")).await.expect(200);
    assert!(other["secrets"][0]["public_key"].as_str().unwrap().starts_with("whpk_"));

    let change = json!({"url": "https://example.com/other", "countries": [], "enabled": false});
    let changed = app.patch(&path, &change).await.expect(200);
    assert_eq!((&changed["url"], &changed["countries"]), (&json!("https://example.com/other"), &json!([])));
    assert_eq!((&changed["enabled"], &changed["disabled_reason"]), (&json!(false), &json!("operator")));
    let enabled = app.patch(&path, &json!({"enabled": true})).await.expect(200);
    assert_eq!(enabled["disabled_at"], Value::Null);

    let page = app.get(&format!("{ENDPOINTS}?page_size=1")).await.expect(200);
    assert_eq!(page["endpoints"][0]["id"], json!(second));
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = app.get(&format!("{ENDPOINTS}?page_size=1&cursor={cursor}")).await.expect(200);
    assert_eq!((&page["endpoints"][0]["id"], &page["next_cursor"]), (&found["id"], &Value::Null));

    app.delete(&path).await.expect(204);
    for (method, body) in [(Method::GET, ""), (Method::DELETE, ""), (Method::PATCH, r#"{"enabled": true}"#)] {
        let json = [("content-type", "application/json")];
        app.send(method, &path, &json, body).await.expect(404);
    }
    assert_eq!(app.sql("SELECT count(*) FROM webhook_secrets").await, "1");
    let kinds = format!(
        "SELECT string_agg(substring(kind FROM 18), ' ' ORDER BY id) FROM security_events \
         WHERE kind LIKE 'webhook_endpoint_%' AND actor = '{ADMIN}'"
    );
    assert_eq!(app.sql(&kinds).await, "created created changed disabled enabled deleted");
    let leaked =
        "SELECT count(*) FROM outbox WHERE data::text LIKE '%example%' OR data::text LIKE '%test-admin%'";
    assert_eq!(app.sql(leaked).await, "0");
}

#[actix_rt::test]
async fn invalid_members_are_reported_at_their_positions() {
    let app = TestApp::start_idle().await;
    let errors = async |member: &str, value: Value| {
        let mut body = json!({"url": "https://example.com/", "event_types": ["*"]});
        body[member] = value;
        let answer = app.post(ENDPOINTS, &body).await;
        assert_eq!(answer.status, 422, "{body}");
        answer.field_errors().join(", ")
    };
    assert_eq!(
        errors("event_types", json!(["*", "toy.made.v1", "toy.*"])).await,
        "/event_types/1 unknown_event_type, /event_types/2 unknown_event_type"
    );
    assert_eq!(errors("event_types", json!([])).await, "/event_types required");
    assert_eq!(errors("countries", json!(["ES", "XX"])).await, "/countries/1 unknown_country");
    assert_eq!(errors("algorithm", json!("v2")).await, "/algorithm unknown_value");
    assert_eq!(errors("description", json!("a\u{0}b")).await, "/description bad_text");
    for url in [
        "http://127.0.0.1/",
        "http://10.0.0.1:8080/",
        "https://localhost./",
        "https://a:b@example.com/",
        "ftp://x.y/",
    ] {
        assert_eq!(errors("url", json!(url)).await, "/url bad_url", "{url}");
    }
    app.patch(&format!("{ENDPOINTS}/{}", uuid::Uuid::nil()), &json!({})).await.expect(422);
}

#[actix_rt::test]
async fn only_admins_and_keys_with_the_scope_manage_endpoints() {
    let app = TestApp::start_idle().await;
    app.acting_as(ANALYST).await.get(ENDPOINTS).await.expect(403);
    let key = async |name: &str, scope: &str| {
        let body = json!({"name": name, "role": "admin", "scopes": [scope]});
        app.post("/api/v1/api-keys", &body).await.expect(201)["key"].as_str().unwrap().to_owned()
    };
    let other = key("other", "operations:write").await;
    app.with_key(&other).get(ENDPOINTS).await.expect(403);
    let manager = key("manager", "webhooks:manage").await;
    let body = json!({"url": "https://example.com/", "event_types": ["*"]});
    let created = app.with_key(&manager).post(ENDPOINTS, &body).await.expect(201);
    assert_eq!(created["created_by"], "key:manager");
}

#[actix_rt::test]
async fn a_repeated_request_creates_one_endpoint_and_does_not_show_the_secret_again() {
    let app = TestApp::start_idle().await;
    let headers = [("idempotency-key", "once"), ("content-type", "application/json")];
    let body = r#"{"url": "https://example.com/", "event_types": ["*"]}"#;
    let first = app.send(Method::POST, ENDPOINTS, &headers, body).await.expect(201);
    let second = app.send(Method::POST, ENDPOINTS, &headers, body).await;
    assert_eq!(second.header("idempotency-replayed"), "true");
    let second = second.expect(201);
    assert_eq!(first["id"], second["id"]);
    assert!(first["secret"].is_string() && second.get("secret").is_none());
}

#[actix_rt::test]
async fn secrets_and_responses_are_sealed_and_appear_in_no_log() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, secret) = create(&app, &receiver.url("/hook"), json!({})).await;
    publish(&app, "toy.made.v1", 1, json!({})).await;
    super::statuses(&app, &endpoint, "delivered delivered").await;
    let bytes = secret.strip_prefix("whsec_").unwrap();
    let plain = format!(
        "SELECT count(*) FROM webhook_secrets WHERE position(decode('{bytes}', 'base64') IN secret) > 0"
    );
    assert_eq!(app.sql(&plain).await, "0");
    assert_eq!(
        app.sql("SELECT bool_and(substring(response FOR 1) = '\\x01') FROM webhook_attempts").await,
        "true"
    );
    assert!(app.log.lines().await.iter().all(|line| !line.to_string().contains(bytes)));
    receiver.stop().await;
}

#[actix_rt::test]
async fn during_a_rotation_deliveries_are_signed_with_both_secrets() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let only_toys = json!({"event_types": ["webhook.secret_rotated.v1"], "enabled": true});
    let (endpoint, old) = create(&app, &receiver.url("/"), only_toys).await;
    let path = format!("{ENDPOINTS}/{endpoint}");
    let rotated = app.post(&format!("{path}/rotate-secret"), &json!({})).await.expect(200);
    let new = rotated["secret"].as_str().unwrap();
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2);
    let request = receiver.requests(1).await.remove(0);
    assert_eq!(request.signature, format!("{} {}", request.signed_with(new), request.signed_with(&old)));

    // The old secret expires.
    app.execute(
        "UPDATE webhook_secrets SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL",
    )
    .await;
    app.post(&format!("{path}/test"), &json!({})).await.expect(202);
    let request = receiver.requests(2).await.remove(1);
    assert_eq!(request.signature, request.signed_with(new));

    // The algorithm can change with a rotation.
    let rotated = app.post(&format!("{path}/rotate-secret"), &json!({"algorithm": "v1a"})).await.expect(200);
    assert!(rotated.get("secret").is_none());
    let request = receiver.requests(3).await.remove(2);
    let (first, second) = request.signature.split_once(' ').unwrap();
    assert!(first.starts_with("v1a,"), "{first}");
    assert_eq!(second, request.signed_with(new));
    receiver.stop().await;
}
