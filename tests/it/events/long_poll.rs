//! The feed `GET /api/v1/events`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::accounts::{ANALYST, USER};
use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::eventually;

const FEED: &str = "/api/v1/events";

fn types(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

/// Creates an API key, which writes an event.
async fn make_key(app: &TestApp, name: &str) {
    let key = json!({"name": name, "role": "user", "scopes": ["applications:read"]});
    app.post("/api/v1/api-keys", &key).await.expect(201);
}

#[actix_rt::test]
async fn the_feed_returns_every_event_once_in_order() {
    let app = TestApp::start_idle().await;
    let start = app.get(&format!("{FEED}?after=end")).await.expect(200)["next"].clone();
    let mut next = start.as_str().unwrap().to_owned();
    for number in 0..5 {
        make_key(&app, &format!("key-{number}")).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let page = app
            .get(&format!("{FEED}?after={next}&limit=2&wait=10&types=account.key_created.v1"))
            .await
            .expect(200);
        let events = page["events"].as_array().unwrap();
        assert!((1..=2).contains(&events.len()), "{page}");
        seen.extend(events.iter().map(|event| event["sequence"].as_str().unwrap().parse::<i64>().unwrap()));
        next = page["next"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let rest = app.get(&format!("{FEED}?after={next}")).await.expect(200);
    assert_eq!((&rest["events"], &rest["more"]), (&json!([]), &json!(false)));
}

#[actix_rt::test]
async fn a_read_waits_until_an_event_is_published() {
    let app = TestApp::start_idle().await;
    let next = app.get(&format!("{FEED}?after=end")).await.expect(200)["next"].clone();
    let path = format!("{FEED}?after={}&wait=10", next.as_str().unwrap());
    let began = Instant::now();
    let (page, ()) = tokio::join!(app.get(&path), async {
        crate::support::pace(Duration::from_millis(300)).await;
        make_key(&app, "late").await;
    });
    assert_eq!(types(&page.expect(200)), ["account.key_created.v1"]);
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(9));

    let began = Instant::now();
    let quiet = app.get(&format!("{FEED}?after=end&wait=1")).await.expect(200);
    assert_eq!(types(&quiet), [] as [&str; 0]);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[actix_rt::test]
async fn the_feed_selects_types_and_subjects_and_hides_owners() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    app.submit(&spanish()).await;
    let unpublished = "SELECT count(*) FROM outbox WHERE relay_offset IS NULL";
    eventually("both events to be published", async || (app.sql(unpublished).await == "0").then_some(()))
        .await;
    let path = format!("{FEED}?types=application.*&subject={id}&wait=10");
    let page = app.get(&path).await.expect(200);
    assert_eq!(types(&page), ["application.created.v1"]);
    let event = &page["events"][0];
    assert_eq!((&event["subject"], &event["specversion"]), (&json!(id), &json!("1.0")));
    assert!(event["data"]["id"] == json!(id) && event["data"].get("created_by").is_none(), "{event}");
    let none = app.get(&format!("{FEED}?types=application.deleted.v1")).await.expect(200);
    assert_eq!((types(&none).len(), &none["next"]), (0, &page["next"]));
}

#[actix_rt::test]
async fn roles_and_scopes_decide_who_reads_which_events() {
    let app = TestApp::start_idle().await;
    app.submit(&spanish()).await;
    make_key(&app, "some-key").await;
    let all = app.get(&format!("{FEED}?types=account.key_created.v1&wait=10")).await.expect(200);
    assert_eq!(types(&all), ["account.key_created.v1"]);
    app.acting_as(USER).await.get(FEED).await.expect(403);
    let staff = app.acting_as(ANALYST).await.get(FEED).await.expect(200);
    assert_eq!(types(&staff), ["application.created.v1"]);
    for (name, role, scopes, status, sees_keys) in [
        ("a", "admin", json!(["events:read", "operations:read"]), 200, true),
        ("b", "admin", json!(["events:read"]), 200, false),
        ("c", "analyst", json!(["events:read"]), 200, false),
        ("d", "admin", json!(["operations:read", "applications:read"]), 403, false),
    ] {
        let request = json!({"name": format!("reader-{name}"), "role": role, "scopes": scopes});
        let key =
            app.post("/api/v1/api-keys", &request).await.expect(201)["key"].as_str().unwrap().to_owned();
        let page = app.with_key(&key).get(FEED).await.expect(status);
        if status == 200 {
            let seen = types(&page).contains(&"account.key_created.v1".to_owned());
            assert_eq!(seen, sees_keys, "{name}: {page}");
        }
    }
}

#[actix_rt::test]
async fn an_expired_or_foreign_position_is_a_410_and_an_invalid_one_a_422() {
    let app = TestApp::start_idle().await;
    app.submit(&spanish()).await;
    app.get(&format!("{FEED}?types=application.*&wait=10")).await.expect(200);
    let epoch = app.sql("SELECT epoch FROM outbox_position").await;
    app.execute("DELETE FROM outbox WHERE relay_offset <= 1").await;
    for position in [format!("{epoch}:0"), format!("{epoch}:1000000"), format!("{}:0", uuid::Uuid::nil())] {
        let problem = app.get(&format!("{FEED}?after={position}")).await.expect(410);
        assert_eq!(problem["code"], "events_expired", "{position}");
    }
    let wrong = format!("{FEED}?after=7&types=Application&subject=x&limit=0&wait=11");
    let errors = app.get(&wrong).await.field_errors();
    let expected = [
        "?after bad_cursor",
        "?types bad_identifier",
        "?subject bad_uuid",
        "?limit out_of_range",
        "?wait out_of_range",
    ];
    assert_eq!(errors, expected);
}
