//! Endpoints that fail: retries, dead deliveries, and disabling.

use serde_json::{Value, json};

use super::{ENDPOINTS, LOOPBACK, Receiver, create, publish, statuses};
use crate::support::accounts::ADMIN;
use crate::support::app::TestApp;
use crate::support::eventually;

const TOYS: &str = "circuit.opened.v1";

fn toys() -> Value {
    json!({"event_types": [TOYS]})
}

#[actix_rt::test]
async fn a_failed_attempt_is_repeated_with_the_same_id_and_a_new_timestamp() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, secret) = create(&app, &receiver.url("/"), toys()).await;
    receiver.answer_with([500, 302, 404]);
    publish(&app, TOYS, 1, json!({})).await;
    let requests = receiver.requests(4).await;
    let delivered = statuses(&app, &endpoint, "delivered").await.remove(0);
    assert_eq!((&delivered["attempts"], &delivered["last_result"]), (&json!(4), &json!("delivered")));
    for request in &requests {
        assert_eq!((&request.id, &request.body), (&requests[0].id, &requests[0].body));
        assert_eq!(request.signature, request.signed_with(&secret));
    }
    let attempts = app.get(&format!("{ENDPOINTS}/{endpoint}/attempts")).await.expect(200);
    let results: Vec<&str> =
        attempts["attempts"].as_array().unwrap().iter().map(|one| one["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["delivered", "refused", "redirect", "refused"]);
    let jobs = "SELECT result || ' ' || attempt FROM job_history WHERE task_name = 'deliver_webhook'";
    assert_eq!(app.sql(jobs).await, "completed 4");
    assert_eq!(app.sql("SELECT failing_since IS NULL FROM webhook_endpoints").await, "true");
    receiver.stop().await;
}

#[actix_rt::test]
async fn after_the_last_attempt_the_delivery_is_dead_and_its_dead_letter_can_be_retried() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, &receiver.url("/"), toys()).await;
    receiver.answer_with([500; 4]);
    publish(&app, TOYS, 1, json!({})).await;
    let dead = statuses(&app, &endpoint, "dead").await.remove(0);
    assert_eq!((&dead["attempts"], &dead["next_attempt_at"]), (&json!(4), &Value::Null));
    assert!(dead["finished_at"].is_string());
    let letters = app.get("/api/v1/admin/failed-jobs?task=deliver_webhook").await.expect(200);
    let letter = &letters["failed_jobs"][0];
    assert_eq!(
        (&letter["error_type"], &letter["lane"]),
        (&json!("delivery_failed"), &json!("deliveries")),
        "{letters}"
    );
    let path = format!("/api/v1/admin/failed-jobs/{}/retry", letter["id"].as_str().unwrap());
    app.post(&path, &json!({"reason": "The endpoint is repaired"})).await.expect(200);
    let delivered = statuses(&app, &endpoint, "delivered").await.remove(0);
    assert_eq!(delivered["attempts"], 5);
    receiver.stop().await;
}

/// Otherwise every dead letter would produce a further delivery, and that one a further dead letter.
#[actix_rt::test]
async fn a_delivery_about_a_dead_letter_that_dies_has_no_event() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let both = json!({"event_types": [TOYS, "dead_letter.*"]});
    let (endpoint, _) = create(&app, &receiver.url("/"), both).await;
    receiver.answer_with([500; 40]);
    publish(&app, TOYS, 1, json!({})).await;
    statuses(&app, &endpoint, "dead dead").await;
    let bodies = receiver.received();
    let told = bodies.last().unwrap().event();
    assert_eq!(told["type"], "dead_letter.created.v1");
    let (kind, name) = (&told["data"]["kind"], &told["data"]["name"]);
    assert_eq!((kind, name), (&json!("job"), &json!("deliver_webhook")));
    assert_eq!(told["data"]["event_type"], TOYS);
    // The consumer has handled everything, so no further delivery follows.
    let unread = "SELECT count(*) FROM consumer_partitions, outbox_position WHERE position < last_offset";
    eventually("all events to be handled", async || (app.sql(unread).await == "0").then_some(())).await;
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "2");
    assert_eq!(app.sql("SELECT count(*) FROM outbox WHERE type LIKE 'dead_letter.%'").await, "1");
    assert_eq!(app.sql("SELECT count(*) FROM webhook_deliveries").await, "2");
    receiver.stop().await;
}

#[actix_rt::test]
async fn the_pauses_are_those_of_the_configuration_with_at_most_a_tenth_added() {
    let overrides = [LOOPBACK[0], ("AVAL__WEBHOOK_DELIVERY__PAUSES_MS", "5000,300000")];
    let app = TestApp::start(&overrides).await;
    let (endpoint, _) = create(&app, "http://127.0.0.1:1024/", toys()).await;
    publish(&app, TOYS, 1, json!({})).await;
    let pending = eventually("the first attempt", async || {
        let found = super::deliveries(&app, &endpoint).await;
        found.first().filter(|one| one["attempts"] == 1 && one["next_attempt_at"].is_string()).cloned()
    })
    .await;
    assert_eq!(pending["last_result"], "connect");
    let pause = "SELECT run_at - updated_at BETWEEN '5 s' AND '5.6 s' FROM pending_jobs WHERE task_name = 'deliver_webhook'";
    assert_eq!(app.sql(pause).await, "true");
    app.execute("UPDATE pending_jobs SET run_at = now() WHERE task_name = 'deliver_webhook'").await;
    let second = "SELECT run_at - updated_at BETWEEN '300 s' AND '331 s' FROM pending_jobs \
        WHERE task_name = 'deliver_webhook' AND attempt = 2 AND status = 'pending'";
    eventually("the second pause", async || (app.sql(second).await == "true").then_some(())).await;
}

#[actix_rt::test]
async fn an_endpoint_that_answers_with_410_is_disabled_and_its_owner_is_told() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, &receiver.url("/gone"), toys()).await;
    let (watcher, _) =
        create(&app, &receiver.url("/watch"), json!({"event_types": ["webhook.endpoint_disabled.v1"]})).await;
    receiver.answer_with([410]);
    publish(&app, TOYS, 1, json!({})).await;
    statuses(&app, &endpoint, "dead").await;
    let found = app.get(&format!("{ENDPOINTS}/{endpoint}")).await.expect(200);
    assert_eq!((&found["enabled"], &found["disabled_reason"]), (&json!(false), &json!("gone")));
    statuses(&app, &watcher, "delivered").await;
    let told = receiver.received().into_iter().find(|one| one.path == "/watch").unwrap().event();
    let owner = app.sql(&format!("SELECT id FROM users WHERE username = '{ADMIN}'")).await;
    assert_eq!(told["data"], json!({"endpoint_id": endpoint, "owner_id": owner, "reason": "gone"}));
    let actor = "SELECT actor FROM security_events WHERE kind = 'webhook_endpoint_disabled'";
    assert_eq!(app.sql(actor).await, "system:deliveries");
    // Later events are recorded as skipped.
    publish(&app, TOYS, 2, json!({})).await;
    statuses(&app, &endpoint, "skipped dead").await;
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "0");
    receiver.stop().await;
}

#[actix_rt::test]
async fn an_endpoint_is_disabled_after_five_days_of_nothing_but_failures() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, &receiver.url("/"), toys()).await;
    receiver.answer_with([500]);
    publish(&app, TOYS, 1, json!({})).await;
    statuses(&app, &endpoint, "delivered").await;
    let since = async |hours: u32| {
        app.execute(&format!(
            "UPDATE webhook_endpoints SET failing_since = now() - interval '{hours} hours'"
        ))
        .await;
    };
    let path = format!("{ENDPOINTS}/{endpoint}");
    // A success ends the period.
    since(121).await;
    publish(&app, TOYS, 2, json!({})).await;
    statuses(&app, &endpoint, "delivered delivered").await;
    assert_eq!(app.get(&path).await.expect(200)["failing_since"], Value::Null);
    // Less than five days are not enough.
    since(119).await;
    receiver.answer_with([500; 4]);
    publish(&app, TOYS, 3, json!({})).await;
    statuses(&app, &endpoint, "dead delivered delivered").await;
    assert_eq!(app.get(&path).await.expect(200)["enabled"], true);
    since(121).await;
    receiver.answer_with([500]);
    publish(&app, TOYS, 4, json!({})).await;
    statuses(&app, &endpoint, "skipped dead delivered delivered").await;
    let found = app.get(&path).await.expect(200);
    assert_eq!((&found["enabled"], &found["disabled_reason"]), (&json!(false), &json!("failing")));
    let event = "SELECT data ->> 'reason' FROM outbox WHERE type = 'webhook.endpoint_disabled.v1'";
    assert_eq!(app.sql(event).await, "failing");
    // Enabling it begins a new period.
    let enabled = app.patch(&path, &json!({"enabled": true})).await.expect(200);
    assert_eq!(enabled["failing_since"], Value::Null);
    receiver.stop().await;
}

#[actix_rt::test]
async fn a_stored_url_is_checked_again_at_every_attempt() {
    let app = TestApp::start(&[("AVAL__WEBHOOK_DELIVERY__PAUSES_MS", "20,20")]).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, "https://example.com/", toys()).await;
    for (url, result) in [
        (receiver.url("/"), "forbidden_url"),
        (format!("http://0x7f000001:{}/", receiver.port), "forbidden_url"),
        ("http://no-such-name.invalid-name.test/".to_owned(), "unresolved"),
    ] {
        app.execute(&format!("UPDATE webhook_endpoints SET url = '{url}'")).await;
        app.execute("DELETE FROM webhook_deliveries").await;
        publish(&app, TOYS, 1, json!({})).await;
        let dead = statuses(&app, &endpoint, "dead").await.remove(0);
        assert_eq!(dead["last_result"], result, "{url}");
    }
    assert!(receiver.received().is_empty());
    receiver.stop().await;
}
