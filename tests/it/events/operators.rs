//! What operators see of consumers and do with dead letters, over HTTP and on the command line.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::consumers::start_failing;
use crate::support::app::TestApp;
use crate::support::eventually;

const CONSUMERS: &str = "/api/v1/admin/events/consumers";
const DEAD_LETTERS: &str = "/api/v1/admin/events/dead-letters";

const QUICK_FAILURES: [(&str, &str); 3] =
    [("EVENTS_BACKOFF_MS", "10"), ("EVENTS_BACKOFF_MAX_MS", "20"), ("EVENTS_MAX_ATTEMPTS", "2")];

/// Creates an API key, which writes the event that the consumer fails to handle.
async fn make_key(app: &TestApp, name: &str) -> Value {
    let key = json!({"name": name, "role": "user", "scopes": ["applications:read"]});
    app.post("/api/v1/api-keys", &key).await.expect(201)["id"].clone()
}

/// Waits until there are this many dead letters and returns them, newest first.
async fn dead_letters(app: &TestApp, count: usize) -> Vec<Value> {
    eventually(&format!("{count} dead letters"), async || {
        let page = app.get(DEAD_LETTERS).await.expect(200);
        let letters = page["dead_letters"].as_array().unwrap().clone();
        (letters.len() == count).then_some(letters)
    })
    .await
}

#[actix_rt::test]
async fn operators_see_how_far_a_consumer_is_behind_and_who_owns_its_partitions() {
    let app = TestApp::start_idle_with(&QUICK_FAILURES).await;
    let registered = app.get(CONSUMERS).await.expect(200)["consumers"].as_array().unwrap().clone();
    assert_eq!(registered.len(), 1, "{registered:?}");
    assert_eq!(
        (&registered[0]["name"], &registered[0]["registered"]),
        (&json!("webhook_deliveries"), &json!(true))
    );
    let _consumer = start_failing(app.engine());
    make_key(&app, "first").await;
    dead_letters(&app, 1).await;
    let consumer = eventually("the consumer to reach the end", async || {
        let list = app.get(CONSUMERS).await.expect(200);
        let mut consumers = list["consumers"].as_array().unwrap().iter();
        consumers.find(|consumer| consumer["name"] == "failing" && consumer["pending"] == 0).cloned()
    })
    .await;
    assert_eq!(consumer["name"], "failing");
    assert_eq!(
        (&consumer["registered"], &consumer["dead_letters"], &consumer["deferred"]),
        (&json!(false), &json!(1), &json!(0))
    );
    assert_eq!(consumer["lag_seconds"], 0.0);
    let partitions = consumer["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 16);
    let own = json!(&*app.engine().resources.instance);
    assert!(partitions.iter().all(|partition| partition["owner"] == own), "{partitions:?}");
    eventually("the metric", async || {
        (app.metric("event_consumer_dead_letters{consumer=\"failing\"}").await == 1.0).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn dead_letters_are_listed_replayed_and_skipped() {
    let app = TestApp::start_idle_with(&QUICK_FAILURES).await;
    let _consumer = start_failing(app.engine());
    let (first, second) = (make_key(&app, "first").await, make_key(&app, "second").await);
    let letters = dead_letters(&app, 2).await;
    assert_eq!((&letters[0]["subject"], &letters[1]["subject"]), (&second, &first));
    assert_eq!((&letters[0]["attempts"], &letters[0]["error_type"]), (&json!(2), &json!("conflict")));
    let path = |letter: &Value| format!("{DEAD_LETTERS}/{}", letter["id"].as_str().unwrap());
    let details = app.get(&path(&letters[0])).await.expect(200);
    assert_eq!(details["data"]["key_id"], second);
    let filtered =
        format!("{DEAD_LETTERS}?consumer=failing&subject={}&error_type=conflict", first.as_str().unwrap());
    assert_eq!(app.get(&filtered).await.expect(200)["dead_letters"].as_array().unwrap().len(), 1);
    assert_eq!(
        app.get(&format!("{DEAD_LETTERS}?consumer=other")).await.expect(200)["dead_letters"],
        json!([])
    );
    let page = app.get(&format!("{DEAD_LETTERS}?page_size=1")).await.expect(200);
    let next = format!("{DEAD_LETTERS}?page_size=1&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(app.get(&next).await.expect(200)["dead_letters"][0]["id"], letters[1]["id"]);

    let reason = json!({"reason": "The defect is fixed"});
    let replayed = app.post(&format!("{}/replay", path(&letters[0])), &reason).await.expect(200);
    assert_eq!(replayed, json!({"matched": 1, "changed": 1, "more": false, "dry_run": false}));
    // It fails again and becomes a dead letter again.
    let attempts = "SELECT count(*) FROM deferred_events WHERE dead_since IS NOT NULL AND attempts = 2";
    eventually("the dead letter", async || (app.sql(attempts).await == "2").then_some(())).await;

    let skipped = app.post(&format!("{}/skip", path(&letters[1])), &reason).await.expect(200);
    assert_eq!(skipped["changed"], 1);
    app.get(&path(&letters[1])).await.expect(404);
    app.post(&format!("{}/skip", path(&letters[1])), &reason).await.expect(404);
    dead_letters(&app, 1).await;

    let many = |dry_run: bool| json!({"reason": "Not needed", "consumer": "failing", "event_type": "account.key_created.v1", "dry_run": dry_run});
    let dry = app.post(&format!("{DEAD_LETTERS}/skip"), &many(true)).await.expect(200);
    assert_eq!(dry, json!({"matched": 1, "changed": 0, "more": false, "dry_run": true}));
    dead_letters(&app, 1).await;
    let done = app.post(&format!("{DEAD_LETTERS}/skip"), &many(false)).await.expect(200);
    assert_eq!(done, json!({"matched": 1, "changed": 1, "more": false, "dry_run": false}));
    dead_letters(&app, 0).await;
    let none = app.post(&format!("{DEAD_LETTERS}/replay"), &many(false)).await.expect(200);
    assert_eq!(none["matched"], 0);

    let audit = app.get("/api/v1/admin/security-events?kind=dead_letters_skipped").await.expect(200);
    let newest = &audit["events"][0];
    assert_eq!((&newest["actor"], &newest["detail"]["reason"]), (&json!("test-admin"), &json!("Not needed")));
    assert!(newest["request_id"].is_string() && newest["address"].is_string(), "{newest}");
    let errors =
        app.post(&format!("{DEAD_LETTERS}/skip"), &json!({"subject": "x", "limit": 0})).await.field_errors();
    assert_eq!(errors, ["/reason required", "/subject bad_uuid", "/limit out_of_range"]);
}

#[actix_rt::test]
async fn a_consumer_is_replayed_from_an_offset() {
    let app = TestApp::start_idle_with(&QUICK_FAILURES).await;
    let _consumer = start_failing(app.engine());
    make_key(&app, "first").await;
    let letters = dead_letters(&app, 1).await;
    let offset = letters[0]["offset"].as_i64().unwrap();
    let replay = format!("{CONSUMERS}/failing/replay");
    let body = |from_offset: i64, dry_run: bool| json!({"from_offset": from_offset, "reason": "A test", "dry_run": dry_run});
    let dry = app.post(&replay, &body(offset, true)).await.expect(200);
    assert_eq!((&dry["dry_run"], &dry["handled"]), (&json!(true), &Value::Null));
    assert!(dry["events"].as_i64().unwrap() >= 1);
    let done = app.post(&replay, &body(offset, false)).await.expect(200);
    assert_eq!(done["handled"], 0);
    eventually("a new dead letter", async || {
        let again = app.get(DEAD_LETTERS).await.expect(200)["dead_letters"].clone();
        (again[0]["offset"] == offset && again[0]["id"] != letters[0]["id"]).then_some(())
    })
    .await;
    app.post(&replay, &body(offset + 1000, false)).await.expect(409);
    app.post(&format!("{CONSUMERS}/unknown/replay"), &body(offset, false)).await.expect(404);
    app.execute(&format!("DELETE FROM outbox WHERE relay_offset <= {offset}")).await;
    assert_eq!(app.post(&replay, &body(offset, false)).await.expect(410)["code"], "events_expired");
    let audit = app.get("/api/v1/admin/security-events?kind=consumer_replayed").await.expect(200);
    assert_eq!(audit["events"][0]["detail"]["from_offset"], offset);
}

/// Runs `aval events` on the database of an app. Returns the exit code and the output.
async fn aval_events(app: &TestApp, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aval"));
    command.arg("events").args(arguments).envs(app.database.variables()).stdin(Stdio::null());
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), format!("{}{}", text(stdout), text(stderr)))
}

#[actix_rt::test]
async fn the_command_line_prints_events_and_handles_dead_letters() {
    let app = TestApp::start_idle_with(&QUICK_FAILURES).await;
    let _consumer = start_failing(app.engine());
    let (first, second) = (make_key(&app, "first").await, make_key(&app, "second").await);
    let letters = dead_letters(&app, 2).await;

    let (code, printed) =
        aval_events(&app, &["tail", "--after", "0", "--no-follow", "--types", "account.key_created.v1"])
            .await;
    assert_eq!(code, 0, "{printed}");
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let subjects: Vec<&Value> = events.iter().map(|event| &event["subject"]).collect();
    assert_eq!(subjects, [&first, &second]);
    assert_eq!(events[0]["specversion"], "1.0");
    let one = ["tail", "--after", "0", "--no-follow", "--subject", second.as_str().unwrap()];
    assert_eq!(aval_events(&app, &one).await.1.lines().count(), 1);

    let (code, list) = aval_events(&app, &["dead-letters", "--consumer", "failing", "--json"]).await;
    assert_eq!((code, list.lines().count()), (0, 2), "{list}");
    let newest: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    assert_eq!(newest["id"], letters[0]["id"]);
    let (_, table) = aval_events(&app, &["dead-letters"]).await;
    assert!(table.contains("account.key_created.v1") && table.contains("conflict"), "{table}");
    let (_, dry) = aval_events(&app, &["dead-letters", "--skip", "--dry-run", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&dry).unwrap(),
        json!({"matched": 2, "changed": 0, "more": false, "dry_run": true})
    );
    let (_, skipped) =
        aval_events(&app, &["dead-letters", "--skip", "--limit", "1", "--reason", "By hand"]).await;
    assert_eq!(skipped, "1 dead letters matched, 1 were changed; more match, so repeat the command\n");
    dead_letters(&app, 1).await;
    let recorded = "SELECT actor || ': ' || (detail ->> 'reason') FROM security_events WHERE kind = 'dead_letters_skipped'";
    assert_eq!(app.sql(recorded).await, "system:operator: By hand");

    let offset = letters[1]["offset"].to_string();
    let replay = ["replay", "--consumer", "failing", "--from", &offset, "--json"];
    let (code, done) = aval_events(&app, &replay).await;
    assert_eq!(code, 0, "{done}");
    assert_eq!(
        serde_json::from_str::<Value>(&done).unwrap()["handled"],
        1,
        "the skipped event counts as handled"
    );
    dead_letters(&app, 2).await;
    let (code, refused) = aval_events(&app, &["replay", "--consumer", "unknown", "--from", "1"]).await;
    assert_eq!(code, 5, "{refused}");
}
