//! Endpoints that get the events of each subject in order.

use serde_json::json;

use super::{LOOPBACK, Receiver, batch, create, deliveries, publish, statuses};
use crate::support::app::TestApp;
use crate::support::eventually;

const TOYS: &str = "circuit.opened.v1";

#[actix_rt::test]
async fn a_delivery_waits_for_the_earlier_one_about_its_subject_and_not_for_others() {
    let app = TestApp::start(&[LOOPBACK[0], ("AVAL__WEBHOOK_DELIVERY__PAUSES_MS", "600000,600000")]).await;
    let receiver = Receiver::start();
    let ordered = json!({"event_types": [TOYS], "ordered": true});
    let (endpoint, _) = create(&app, &receiver.url("/"), ordered).await;
    receiver.answer_with([500]);
    publish(&app, TOYS, 1, json!({"n": 1})).await;
    eventually("the failed attempt", async || {
        deliveries(&app, &endpoint).await.first().filter(|one| one["attempts"] == 1).map(|_| ())
    })
    .await;
    for n in 2..=4 {
        publish(&app, TOYS, 1, json!({ "n": n })).await;
    }
    publish(&app, TOYS, 2, json!({"n": 100})).await;
    statuses(&app, &endpoint, "delivered waiting waiting waiting pending").await;
    // The next attempt of the first one succeeds.
    let due = "UPDATE pending_jobs SET run_at = now() WHERE task_name = 'deliver_webhook'; NOTIFY aval_jobs";
    batch(&app, due).await;
    statuses(&app, &endpoint, "delivered delivered delivered delivered delivered").await;
    let order: Vec<i64> =
        receiver.received().iter().map(|one| one.event()["data"]["n"].as_i64().unwrap()).collect();
    assert_eq!(order, [1, 100, 1, 2, 3, 4]);
    receiver.stop().await;
}

#[actix_rt::test]
async fn a_dead_delivery_lets_the_next_one_go() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    let ordered = json!({"event_types": [TOYS], "ordered": true});
    let (endpoint, _) = create(&app, &receiver.url("/"), ordered).await;
    receiver.answer_with([500; 4]);
    publish(&app, TOYS, 1, json!({"n": 1})).await;
    publish(&app, TOYS, 1, json!({"n": 2})).await;
    statuses(&app, &endpoint, "delivered dead").await;
    let order: Vec<i64> =
        receiver.received().iter().map(|one| one.event()["data"]["n"].as_i64().unwrap()).collect();
    assert_eq!(order, [1, 1, 1, 1, 2]);
    receiver.stop().await;
}

#[actix_rt::test]
async fn many_subjects_arrive_in_order_while_deliveries_fail_at_random() {
    // Any delivery may get all eight failures, because several are sent at the same time, so it needs nine attempts.
    let pauses = ("AVAL__WEBHOOK_DELIVERY__PAUSES_MS", "20,20,20,20,20,20,20,20");
    let app = TestApp::start(&[LOOPBACK[0], pauses]).await;
    let receiver = Receiver::start();
    let ordered = json!({"event_types": [TOYS], "ordered": true});
    let (endpoint, _) = create(&app, &receiver.url("/"), ordered).await;
    receiver.answer_with([500, 200, 500, 500, 500, 200, 200, 500, 200, 500, 500, 200, 200, 500]);
    for n in 0..5 {
        for subject in 1..=8 {
            publish(&app, TOYS, subject, json!({ "n": n })).await;
        }
    }
    statuses(&app, &endpoint, &["delivered"; 40].join(" ")).await;
    let received = receiver.received();
    for subject in 1..=8 {
        let subject = uuid::Uuid::from_u128(subject).to_string();
        let of_subject =
            received.iter().map(super::Received::event).filter(|event| event["subject"] == *subject);
        let mut order: Vec<i64> = of_subject.map(|event| event["data"]["n"].as_i64().unwrap()).collect();
        order.dedup();
        assert_eq!(order, [0, 1, 2, 3, 4], "{subject}");
    }
    receiver.stop().await;
}
