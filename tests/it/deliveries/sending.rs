//! What is sent, and to which endpoints.

use serde_json::{Value, json};

use super::{ENDPOINTS, LOOPBACK, Receiver, batch, create, deliveries, publish, statuses};
use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::eventually;

#[actix_rt::test]
async fn the_events_of_an_application_arrive_signed_and_in_the_published_form() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let filter = json!({"event_types": ["application.*"], "ordered": true});
    let (endpoint, secret) = create(&app, &receiver.url("/hook"), filter).await;
    let id = app.submit(&spanish()).await;
    app.decided(&id).await;
    let events =
        app.sql("SELECT count(*) FROM outbox WHERE type LIKE 'application.%'").await.parse().unwrap();
    let requests = receiver.requests(events).await;
    let status = |request: &super::Received| request.event()["data"]["status"].as_str().unwrap().to_owned();
    assert_eq!(status(&requests[0]), "PENDING");
    for request in &requests {
        let event = request.event();
        assert_eq!((&event["specversion"], &event["subject"]), (&json!("1.0"), &json!(id)));
        assert_eq!(event["id"], json!(request.id));
        assert_eq!(request.signature, request.signed_with(&secret));
        assert!(request.body.len() < 20_000);
        let age = app.engine().resources.clock.now().timestamp() - request.timestamp;
        assert!((0..60).contains(&age), "{age}");
    }
    statuses(&app, &endpoint, &vec!["delivered"; events].join(" ")).await;
    let attempts = app.get(&format!("{ENDPOINTS}/{endpoint}/attempts?page_size=1")).await.expect(200);
    let attempt = &attempts["attempts"][0];
    assert_eq!((&attempt["status_code"], &attempt["response"]), (&json!(200), &json!("status 200")));
    let delivered = r#"webhook_deliveries_total{result="delivered"}"#;
    eventually("the metric", async || (app.metric(delivered).await >= 1.0).then_some(())).await;
    assert!(app.metric(r#"webhook_attempts_total{result="delivered"}"#).await >= 1.0);
    receiver.stop().await;
}

#[actix_rt::test]
async fn endpoints_get_only_the_events_that_match_their_filters() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    for (path, members) in [
        ("/all", json!({})),
        ("/family", json!({"event_types": ["circuit.*"]})),
        ("/type", json!({"event_types": ["circuit.opened.v1", "review.released.v1"]})),
        ("/spain", json!({"event_types": ["*"], "countries": ["ES"]})),
    ] {
        create(&app, &receiver.url(path), members).await;
    }
    batch(&app, "DELETE FROM webhook_deliveries; DELETE FROM pending_jobs").await;
    let before = receiver.received().len();
    publish(&app, "circuit.opened.v1", 1, json!({"country": "ES"})).await;
    publish(&app, "circuit.closed.v1", 1, json!({"country": "PT"})).await;
    publish(&app, "account.created.v1", 2, json!({})).await;
    let expected = [
        "/all account.created.v1",
        "/all circuit.closed.v1",
        "/all circuit.opened.v1",
        "/family circuit.closed.v1",
        "/family circuit.opened.v1",
        "/spain circuit.opened.v1",
        "/type circuit.opened.v1",
    ];
    let lines = |received: Vec<super::Received>| {
        let mut lines: Vec<String> = received
            .iter()
            .skip(before)
            .map(|one| format!("{} {}", one.path, one.event()["type"].as_str().unwrap()))
            .filter(|line| !line.contains("webhook."))
            .collect();
        lines.sort();
        lines
    };
    eventually("every matching event", async || {
        (lines(receiver.received()).len() >= expected.len()).then_some(())
    })
    .await;
    assert_eq!(lines(receiver.received()), expected);
    receiver.stop().await;
}

#[actix_rt::test]
async fn lists_of_deliveries_and_attempts_are_filtered_and_paginated() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let (endpoint, _) = create(&app, &receiver.url("/"), json!({"event_types": ["circuit.*"]})).await;
    receiver.answer_with([500]);
    for subject in 1..=3 {
        publish(&app, "circuit.opened.v1", subject, json!({})).await;
    }
    publish(&app, "circuit.closed.v1", 4, json!({})).await;
    statuses(&app, &endpoint, "delivered delivered delivered delivered").await;
    let path = format!("{ENDPOINTS}/{endpoint}");
    let count = async |query: &str, member: &str| {
        app.get(&format!("{path}/{query}")).await.expect(200)[member].as_array().unwrap().len()
    };
    assert_eq!(count("deliveries?event_type=circuit.closed.v1", "deliveries").await, 1);
    assert_eq!(count("deliveries?status=dead", "deliveries").await, 0);
    assert_eq!(count("deliveries?subject=00000000-0000-0000-0000-000000000002", "deliveries").await, 1);
    assert_eq!(count("deliveries?from=2100-01-01", "deliveries").await, 0);
    assert_eq!(count("deliveries?to=2100-01-01", "deliveries").await, 4);
    assert_eq!(count("attempts", "attempts").await, 5);
    assert_eq!(count("attempts?result=refused", "attempts").await, 1);
    let refused = app.get(&format!("{path}/attempts?result=refused")).await.expect(200);
    let delivery = refused["attempts"][0]["delivery_id"].as_str().unwrap().to_owned();
    assert_eq!(count(&format!("attempts?delivery_id={delivery}"), "attempts").await, 2);
    let page = app.get(&format!("{path}/deliveries?page_size=3")).await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("{path}/deliveries?page_size=3&cursor={cursor}")).await.expect(200);
    assert_eq!((rest["deliveries"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    let details = app.get(&format!("{}/{delivery}", super::DELIVERIES)).await.expect(200);
    assert_eq!(details["event"]["id"], details["webhook_id"]);
    assert_eq!(details["attempts"], 2);
    app.get(&format!("{path}/deliveries?status=lost")).await.expect(422);
    assert_eq!(deliveries(&app, &endpoint).await.len(), 4);
    receiver.stop().await;
}
