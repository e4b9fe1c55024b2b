//! Events about dead letters.

use aval::events::consumers::type_filter::TypeFilter;
use serde_json::{Value, json};

use super::consumers::{start_failing, start_failing_at};
use super::{next, operations};
use crate::support::app::TestApp;
use crate::support::eventually;

const QUICK_FAILURES: [(&str, &str); 3] =
    [("EVENTS_BACKOFF_MS", "10"), ("EVENTS_BACKOFF_MAX_MS", "20"), ("EVENTS_MAX_ATTEMPTS", "2")];

/// Creates an API key, which writes the event that the consumer fails to handle.
async fn make_key(app: &TestApp) {
    let key = json!({"name": "first", "role": "user", "scopes": ["applications:read"]});
    app.post("/api/v1/api-keys", &key).await.expect(201);
}

#[actix_rt::test]
async fn admins_get_events_about_dead_letters_of_consumers() {
    let app = TestApp::start_idle_with(&QUICK_FAILURES).await;
    let mut socket = app.websocket().await;
    socket.subscribe(&operations()).await;
    let _consumer = start_failing(app.engine());
    make_key(&app).await;
    next(&mut socket, "account.key_created.v1").await;
    let created = next(&mut socket, "dead_letter.created.v1").await["data"].clone();
    let letter = created["dead_letter_id"].as_str().unwrap();
    let expected = json!({"dead_letter_id": letter, "kind": "event", "name": "failing",
        "event_type": "account.key_created.v1", "error_type": "conflict", "attempts": 2});
    assert_eq!(created, expected);
    let path = format!("/api/v1/admin/events/dead-letters/{letter}");
    let reason = json!({"reason": "The defect is fixed"});
    app.post(&format!("{path}/replay"), &reason).await.expect(200);
    assert_eq!(next(&mut socket, "dead_letter.replayed.v1").await["data"], expected);
    assert_eq!(next(&mut socket, "dead_letter.created.v1").await["data"], expected);
    app.post(&format!("{path}/skip"), &reason).await.expect(200);
    assert_eq!(next(&mut socket, "dead_letter.skipped.v1").await["data"], expected);
    let with_request = "SELECT string_agg(DISTINCT type, ' ' ORDER BY type) FROM outbox \
        WHERE type LIKE 'dead_letter.%' AND request_id IS NOT NULL";
    let all = "dead_letter.created.v1 dead_letter.replayed.v1 dead_letter.skipped.v1";
    assert_eq!(app.sql(with_request).await, all);
}

#[actix_rt::test]
async fn a_replay_from_an_offset_replays_the_dead_letters_after_it() {
    let app = TestApp::start_idle_with(&QUICK_FAILURES).await;
    let mut socket = app.websocket().await;
    socket.subscribe(&operations()).await;
    let _consumer = start_failing(app.engine());
    make_key(&app).await;
    next(&mut socket, "account.key_created.v1").await;
    let created = next(&mut socket, "dead_letter.created.v1").await;
    let replay = json!({"from_offset": 1, "reason": "A test"});
    app.post("/api/v1/admin/events/consumers/failing/replay", &replay).await.expect(200);
    assert_eq!(next(&mut socket, "dead_letter.replayed.v1").await["data"], created["data"]);
    // The event fails again, and its dead letter is a new one.
    let again = next(&mut socket, "dead_letter.created.v1").await;
    assert_ne!(again["data"]["dead_letter_id"], created["data"]["dead_letter_id"]);
}

#[actix_rt::test]
async fn admins_get_events_about_dead_letters_of_jobs() {
    let app = TestApp::start_idle().await;
    let mut socket = app.websocket().await;
    socket.subscribe(&operations()).await;
    app.execute(
        "INSERT INTO failed_jobs (job_id, task_name, job_args, error_type, error_message, attempts, request_id) \
         VALUES (gen_random_uuid(), 'toy', '{}', 'timeout', 'a test', 3, 'r-1')",
    )
    .await;
    let created = next(&mut socket, "dead_letter.created.v1").await["data"].clone();
    let letter = created["dead_letter_id"].as_str().unwrap();
    let expected = json!({"dead_letter_id": letter, "kind": "job", "name": "toy", "event_type": Value::Null,
        "error_type": "timeout", "attempts": 3});
    assert_eq!(created, expected);
    let path = format!("/api/v1/admin/failed-jobs/{letter}/ignore");
    app.post(&path, &json!({"reason": "Not needed"})).await.expect(200);
    assert_eq!(next(&mut socket, "dead_letter.ignored.v1").await["data"], expected);
    let requests = "SELECT string_agg((request_id = 'r-1')::text, ' ' ORDER BY seq) FROM outbox \
        WHERE type LIKE 'dead_letter.%'";
    assert_eq!(app.sql(requests).await, "true false");
}

/// Otherwise a consumer that always fails would produce events without end.
#[actix_rt::test]
async fn a_dead_letter_about_an_event_of_a_dead_letter_has_no_event() {
    let app = TestApp::start_idle_with(&QUICK_FAILURES).await;
    let _consumer =
        start_failing_at(app.engine(), TypeFilter::of(["account.key_created.v1", "dead_letter.*"]));
    make_key(&app).await;
    let dead = "SELECT string_agg(type, ' ' ORDER BY id) FROM deferred_events WHERE dead_since IS NOT NULL";
    let both = "account.key_created.v1 dead_letter.created.v1";
    eventually("two dead letters", async || (app.sql(dead).await == both).then_some(())).await;
    let left = "SELECT (SELECT count(*) FROM consumer_partitions, outbox_position \
            WHERE consumer = 'failing' AND position < last_offset) \
        + (SELECT count(*) FROM outbox WHERE relay_offset IS NULL)";
    eventually("all events to be handled", async || (app.sql(left).await == "0").then_some(())).await;
    assert_eq!(app.sql(dead).await, both);
    assert_eq!(app.sql("SELECT count(*) FROM outbox WHERE type LIKE 'dead_letter.%'").await, "1");
    // Nor have the actions of operators on it.
    let second = "SELECT id FROM deferred_events WHERE type = 'dead_letter.created.v1'";
    let path = format!("/api/v1/admin/events/dead-letters/{}/skip", app.sql(second).await);
    app.post(&path, &json!({"reason": "A test"})).await.expect(200);
    assert_eq!(app.sql("SELECT count(*) FROM outbox WHERE type LIKE 'dead_letter.%'").await, "1");
}
