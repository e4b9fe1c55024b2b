//! Reading the events of a user, and the statistics.

use serde_json::{Value, json};

use super::{EVENTS, at, event, key, many};
use crate::support::app::TestApp;

fn ids(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn the_events_of_a_user_are_listed_newest_first_in_pages() {
    let app = TestApp::start_idle().await;
    let (now, yesterday) = (at(-10), at(-86400));
    let mut paid = event("ana", "5", &at(-5));
    paid["type"] = "fee.paid".into();
    paid["properties"] = json!({"amount": 1.50, "nested": {"a": [1, null]}});
    let events = [
        event("ana", "1", &yesterday),
        event("ana", "2", &now),
        event("ana", "3", &now),
        event("eva", "4", &now),
        paid.clone(),
    ];
    app.post(EVENTS, &many(&events)).await.expect(200);
    let all = app.get(&format!("{EVENTS}?user_id=ana")).await.expect(200);
    assert_eq!(
        (ids(&all), &all["next_cursor"]),
        (["5", "3", "2", "1"].map(str::to_owned).to_vec(), &Value::Null)
    );
    let newest = &all["events"][0];
    assert_eq!(
        (&newest["type"], &newest["properties"], &newest["user_id"]),
        (&paid["type"], &paid["properties"], &json!("ana"))
    );
    assert_eq!(newest["occurred_at"], paid["occurred_at"]);
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.get(&format!("{EVENTS}?user_id=ana&limit=1{cursor}")).await.expect(200);
        pages.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, ["5", "3", "2", "1"]);
    let of_type = app.get(&format!("{EVENTS}?user_id=ana&type=page.viewed&limit=2")).await.expect(200);
    assert_eq!(ids(&of_type), ["3", "2"]);
    let until = app.get(&format!("{EVENTS}?user_id=ana&from={yesterday}&to={now}")).await.expect(200);
    assert_eq!(ids(&until), ["1"]);
    let others_cursor = of_type["next_cursor"].as_str().unwrap();
    for (query, expected) in [
        ("", "?user_id required"),
        ("user_id=", "?user_id required"),
        (&format!("user_id={}", "x".repeat(65)), "?user_id bad_text"),
        ("user_id=a&type=a%20b", "?type bad_text"),
        ("user_id=a&from=x", "?from bad_time"),
        ("user_id=a&from=2026-01-02&to=2025-12-31", "?to bad_range"),
        ("user_id=a&limit=1001", "?limit out_of_range"),
        (&format!("user_id=ana&cursor={others_cursor}"), "?cursor bad_cursor"),
        ("user_id=a&more=1", "?more unknown_parameter"),
    ] {
        let answer = app.get(&format!("{EVENTS}?{query}")).await;
        assert_eq!(answer.field_errors(), [expected], "{query}");
    }
}

#[actix_rt::test]
async fn the_statistics_count_the_events_of_this_instance_by_account_and_type() {
    let app = TestApp::start_idle().await;
    let key = key(&app, "shop", "user", &["events:write"]).await;
    let empty = app.get("/api/v1/ingest/stats").await.expect(200);
    assert_eq!((&empty["requests"], &empty["latency"]), (&json!(0), &Value::Null));
    let event_one = event("ana", "1", &at(-1));
    app.with_key(&key)
        .post(EVENTS, &many(&[event_one.clone(), event_one.clone(), json!({})]))
        .await
        .expect(200);
    app.post(EVENTS, &event("ana", "2", &at(-1))).await.expect(200);
    let stats = app.get("/api/v1/ingest/stats").await.expect(200);
    assert_eq!(stats["events"], json!({"accepted": 2, "duplicates": 1, "conflicts": 0, "rejected": 1}));
    assert_eq!(
        stats["by_account"][0],
        json!({"name": "key:shop", "accepted": 1, "duplicates": 1, "conflicts": 0, "rejected": 1})
    );
    assert_eq!(
        stats["by_type"][0],
        json!({"name": "page.viewed", "accepted": 2, "duplicates": 1, "conflicts": 0, "rejected": 0})
    );
    assert!(stats["latency"]["p99_ms"].as_f64().unwrap() > 0.0);
    assert!(stats["events_per_second"].as_f64().unwrap() > 0.0);
}
