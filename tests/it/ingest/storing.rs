//! Storing events once.

use std::rc::Rc;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::io::Write as _;

use super::{EVENTS, at, counts, event, key, many, send, stored};
use crate::support::accounts::{ANALYST, USER};
use crate::support::app::TestApp;
use crate::support::db::TestDatabase;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[actix_rt::test]
async fn one_event_an_array_and_lines_are_stored_plain_and_compressed() {
    let app = TestApp::start_idle().await;
    let key = key(&app, "shop", "user", &["events:write"]).await;
    let one = app.with_key(&key).post(EVENTS, &event("ana", "1", &at(-1))).await.expect(200);
    assert_eq!(counts(&one), (1, 0, 0, 0));
    let array = many(&[event("ana", "2", &at(-1)), event("eva", "2", &at(-1))]).to_string();
    let (json, gzipped) = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"));
    assert_eq!(counts(&send(&app, &[json, gzipped], gzip(&array)).await.expect(200)), (2, 0, 0, 0));
    assert_eq!(counts(&send(&app, &[json], array).await.expect(200)), (0, 2, 0, 0));
    let lines = format!("{}\n\n{}\n", event("ana", "3", &at(-1)), event("ana", "4", &at(-1)));
    let ndjson = ("Content-Type", "application/x-ndjson; charset=utf-8");
    assert_eq!(counts(&send(&app, &[ndjson], lines.clone()).await.expect(200)), (2, 0, 0, 0));
    assert_eq!(counts(&send(&app, &[ndjson, gzipped], gzip(&lines)).await.expect(200)), (0, 2, 0, 0));
    assert_eq!(stored(&app).await, "5");
    let row = "SELECT concat_ws(' ', user_id, type, properties, received_at - occurred_at < '1 minute') FROM ingested_events \
               WHERE id = '1'";
    assert_eq!(app.sql(row).await, r#"ana page.viewed {"page":"/apply"} t"#);
    let accepted = app.metric(r#"ingest_events_total{result="accepted"}"#).await;
    let duplicates = app.metric(r#"ingest_events_total{result="duplicate"}"#).await;
    assert!((accepted - 5.0).abs() < 0.1 && (duplicates - 4.0).abs() < 0.1, "{accepted} {duplicates}");
}

#[actix_rt::test]
async fn valid_events_are_stored_even_if_others_are_rejected() {
    let app = TestApp::start_idle().await;
    let mut late = event("ana", "2", &at(-1));
    late["occurred_at"] = "2020-01-01T00:00:00Z".into();
    let answer = app
        .post(EVENTS, &many(&[event("ana", "1", &at(-1)), late, json!(7), event("ana", "3", &at(-1))]))
        .await;
    let receipt = answer.expect(200);
    assert_eq!(counts(&receipt), (2, 0, 0, 2));
    assert_eq!(
        receipt["rejected"],
        json!([
            {"index": 1, "code": "too_old", "detail": "occurred_at must be at most 7 days ago"},
            {"index": 2, "code": "bad_type", "detail": "the event must be an object"},
        ])
    );
    assert_eq!(stored(&app).await, "2");
}

#[actix_rt::test]
async fn repeated_events_and_other_events_with_the_same_key_are_counted_apart() {
    let app = TestApp::start_idle().await;
    let (time, later) = (at(-1), at(0));
    let mut other = event("ana", "1", &time);
    other["properties"]["page"] = "/other".into();
    let mut other_type = event("ana", "1", &time);
    other_type["type"] = "page.left".into();
    // The first of a request is stored, also if it is not the first in the order of keys.
    let within =
        [event("eva", "1", &time), event("ana", "1", &time), event("ana", "1", &time), other.clone()];
    assert_eq!(counts(&app.post(EVENTS, &many(&within)).await.expect(200)), (2, 1, 1, 0));
    let across =
        [other, event("ana", "1", &time), other_type, event("ana", "1", &later), event("ana", "2", &time)];
    assert_eq!(counts(&app.post(EVENTS, &many(&across)).await.expect(200)), (2, 1, 2, 0));
    assert_eq!(
        app.sql("SELECT properties FROM ingested_events WHERE id = '1' AND user_id = 'eva'").await,
        r#"{"page":"/apply"}"#
    );
    assert_eq!(stored(&app).await, "4");
}

#[actix_rt::test]
async fn concurrent_requests_with_the_same_events_store_each_once() {
    let app = TestApp::start_idle().await;
    let time = at(-1);
    let batches: Vec<Value> = (0..24)
        .map(|n| {
            let ids = (0..40)
                .map(|id| event(&format!("user-{}", (id + n) % 40), &((id + n) % 40).to_string(), &time));
            many(&ids.collect::<Vec<_>>())
        })
        .collect();
    let answers = join_all(batches.iter().map(|batch| app.post(EVENTS, batch))).await;
    let receipts: Vec<_> = answers.into_iter().map(|answer| counts(&answer.expect(200))).collect();
    let sum = |part: fn(&(u64, u64, u64, usize)) -> u64| receipts.iter().map(part).sum::<u64>();
    assert_eq!((sum(|r| r.0), sum(|r| r.1), sum(|r| r.2)), (40, 23 * 40, 0));
    assert_eq!(stored(&app).await, "40");
}

#[actix_rt::test]
async fn a_repeated_event_is_recognized_after_a_restart() {
    let database = Rc::new(TestDatabase::create().await);
    let app = TestApp::start_on(Rc::clone(&database), &[]).await;
    let events = many(&[event("ana", "1", &at(-1)), event("ana", "2", &at(-1))]);
    app.post(EVENTS, &events).await.expect(200);
    let token = app.token.clone();
    app.stop().await;
    let settings = crate::support::engine::settings_on(&database, &[("AVAL__SERVER__PORT", "0")]);
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let again = aval::app::App::start(settings, aval::clock::Clock::system(), logger).await.unwrap();
    let request =
        awc::Client::default().post(format!("http://{}{EVENTS}", again.address())).bearer_auth(token);
    let mut answer = request.send_json(&events).await.unwrap();
    let receipt: Value = answer.json().await.unwrap();
    assert_eq!(counts(&receipt), (0, 2, 0, 0), "{receipt}");
    again.shutdown().await;
}

#[actix_rt::test]
async fn an_event_of_a_day_without_a_partition_creates_it() {
    let app = TestApp::start_idle().await;
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ingested_events'::regclass";
    assert_eq!(app.sql(days).await, "1");
    let events =
        [event("ana", "1", &at(-3 * 86400)), event("ana", "1", &at(-5 * 86400)), event("ana", "1", &at(-1))];
    assert_eq!(counts(&app.post(EVENTS, &many(&events)).await.expect(200)), (3, 0, 0, 0));
    assert!(app.sql(days).await.parse::<u32>().unwrap() >= 3);
    assert_eq!(stored(&app).await, "3");
}

#[actix_rt::test]
async fn events_are_sent_by_accounts_and_keys_with_the_scope_only() {
    let app = TestApp::start_idle().await;
    let reader = key(&app, "reader", "analyst", &["events:read"]).await;
    let writer = key(&app, "writer", "user", &["events:write"]).await;
    let body = event("ana", "1", &at(-1));
    app.anonymous().post(EVENTS, &body).await.expect(401);
    app.with_key(&reader).post(EVENTS, &body).await.expect(403);
    app.with_key(&writer).post(EVENTS, &body).await.expect(200);
    app.acting_as(USER).await.post(EVENTS, &body).await.expect(200);
    let list = format!("{EVENTS}?user_id=ana");
    app.with_key(&writer).get(&list).await.expect(403);
    app.acting_as(USER).await.get(&list).await.expect(403);
    app.with_key(&reader).get(&list).await.expect(200);
    app.acting_as(ANALYST).await.get(&list).await.expect(200);
}

#[actix_rt::test]
async fn nothing_of_an_event_is_logged_and_nothing_reaches_the_queue_or_the_outbox() {
    let app = TestApp::start_idle_with(&[("AVAL__INGEST__KEEP_REJECTED", "10")]).await;
    let jobs = app.sql("SELECT count(*) FROM pending_jobs").await;
    let outbox = app.sql("SELECT count(*) FROM outbox").await;
    let mut valid = event("secret-user", "secret-id", &at(-1));
    valid["properties"]["name"] = "secret-name".into();
    let mut invalid = valid.clone();
    invalid["type"] = "secret type".into();
    app.post(EVENTS, &many(&[valid, invalid.clone()])).await.expect(200);
    app.post(EVENTS, &invalid).await.expect(422);
    send(&app, &[("Content-Type", "application/json")], r#"{"secret-member": }"#).await.expect(400);
    let log = app.log.text().await;
    assert!(!log.contains("secret"), "{log}");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, jobs);
    assert_eq!(app.sql("SELECT count(*) FROM outbox").await, outbox);
}
