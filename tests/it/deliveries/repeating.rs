//! Sending deliveries again: one, or all since a time; tests.

use serde_json::{Value, json};

use super::{DELIVERIES, ENDPOINTS, LOOPBACK, Receiver, create, deliveries, publish, statuses};
use crate::support::app::TestApp;

const TOYS: &str = "circuit.opened.v1";

#[actix_rt::test]
async fn one_delivery_is_sent_again_with_the_same_id() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, &receiver.url("/"), json!({"event_types": [TOYS]})).await;
    publish(&app, TOYS, 1, json!({})).await;
    let delivered = statuses(&app, &endpoint, "delivered").await.remove(0);
    let path = format!("{DELIVERIES}/{}", delivered["id"].as_str().unwrap());
    let resent = app.post(&format!("{path}/resend"), &Value::Null).await.expect(200);
    assert_eq!(resent["status"], "pending");
    let requests = receiver.requests(2).await;
    assert_eq!((&requests[0].id, &requests[0].body), (&requests[1].id, &requests[1].body));
    statuses(&app, &endpoint, "delivered").await;
    let events = "SELECT detail ->> 'delivery_id' FROM security_events WHERE kind = 'webhooks_repeated'";
    assert_eq!(app.sql(events).await, delivered["id"].as_str().unwrap());

    app.patch(&format!("{ENDPOINTS}/{endpoint}"), &json!({"enabled": false})).await.expect(200);
    app.post(&format!("{path}/resend"), &Value::Null).await.expect(409);
    app.post(&format!("{DELIVERIES}/{}/resend", uuid::Uuid::nil()), &Value::Null).await.expect(404);
    receiver.stop().await;
}

#[actix_rt::test]
async fn a_pending_delivery_is_sent_again_immediately() {
    let app = TestApp::start(&[LOOPBACK[0], ("AVAL__WEBHOOK_DELIVERY__PAUSES_MS", "600000,600000")]).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, &receiver.url("/"), json!({"event_types": [TOYS]})).await;
    receiver.answer_with([500]);
    publish(&app, TOYS, 1, json!({})).await;
    receiver.requests(1).await;
    let waiting =
        "SELECT count(*) FROM pending_jobs WHERE task_name = 'deliver_webhook' AND status = 'pending'";
    crate::support::eventually("the pause", async || (app.sql(waiting).await == "1").then_some(())).await;
    let pending = deliveries(&app, &endpoint).await.remove(0);
    let path = format!("{DELIVERIES}/{}/resend", pending["id"].as_str().unwrap());
    app.post(&path, &Value::Null).await.expect(200);
    let delivered = statuses(&app, &endpoint, "delivered").await.remove(0);
    assert_eq!(delivered["attempts"], 2);
    receiver.stop().await;
}

#[actix_rt::test]
async fn everything_that_was_not_delivered_since_a_time_is_recovered() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, &receiver.url("/"), json!({"event_types": [TOYS]})).await;
    let path = format!("{ENDPOINTS}/{endpoint}");
    receiver.answer_with([500; 4]);
    publish(&app, TOYS, 1, json!({})).await;
    statuses(&app, &endpoint, "dead").await;
    publish(&app, TOYS, 2, json!({})).await;
    statuses(&app, &endpoint, "delivered dead").await;
    app.patch(&path, &json!({"enabled": false})).await.expect(200);
    for subject in 3..=4 {
        publish(&app, TOYS, subject, json!({})).await;
    }
    statuses(&app, &endpoint, "skipped skipped delivered dead").await;
    let recover = format!("{path}/recover");
    let since = json!({"since": "2026-01-01", "dry_run": true});
    app.post(&recover, &since).await.expect(409);
    app.patch(&path, &json!({"enabled": true})).await.expect(200);

    let planned = app.post(&recover, &since).await.expect(200);
    assert_eq!(planned, json!({"deliveries": 3, "more": false, "dry_run": true}));
    let later = json!({"since": "2100-01-01", "dry_run": true});
    assert_eq!(app.post(&recover, &later).await.expect(200)["deliveries"], 0);
    statuses(&app, &endpoint, "skipped skipped delivered dead").await;

    let some = json!({"since": "2026-01-01", "limit": 2});
    let done = app.post(&recover, &some).await.expect(200);
    assert_eq!(done, json!({"deliveries": 2, "more": true, "dry_run": false}));
    statuses(&app, &endpoint, "skipped delivered delivered delivered").await;
    let done = app.post(&recover, &some).await.expect(200);
    assert_eq!(done, json!({"deliveries": 1, "more": false, "dry_run": false}));
    statuses(&app, &endpoint, "delivered delivered delivered delivered").await;
    let audited = "SELECT string_agg(detail ->> 'deliveries', ' ' ORDER BY id) FROM security_events WHERE kind = 'webhooks_repeated'";
    assert_eq!(app.sql(audited).await, "2 1");
    let reversed = json!({"since": "2026-02-01", "until": "2026-01-01"});
    assert_eq!(app.post(&recover, &reversed).await.field_errors(), ["/until bad_range"]);
    receiver.stop().await;
}

#[actix_rt::test]
async fn a_test_message_goes_to_one_endpoint_only() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, secret) = create(&app, &receiver.url("/one"), json!({"event_types": [TOYS]})).await;
    create(&app, &receiver.url("/other"), json!({"event_types": [TOYS]})).await;
    let path = format!("{ENDPOINTS}/{endpoint}/test");
    let sent = app.post(&path, &json!({})).await.expect(202);
    assert_eq!((&sent["event_type"], &sent["status"]), (&json!("webhook.test.v1"), &json!("pending")));
    let request = receiver.requests(1).await.remove(0);
    assert_eq!(request.signature, request.signed_with(&secret));
    let event = request.event();
    assert_eq!(
        (&event["type"], &event["data"]),
        (&json!("webhook.test.v1"), &json!({"endpoint_id": endpoint}))
    );
    statuses(&app, &endpoint, "delivered").await;
    assert_eq!(receiver.received().len(), 1);
    app.patch(&format!("{ENDPOINTS}/{endpoint}"), &json!({"enabled": false})).await.expect(200);
    app.post(&path, &json!({})).await.expect(409);
    receiver.stop().await;
}
