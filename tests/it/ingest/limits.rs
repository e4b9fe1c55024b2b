//! Limits by events.

use serde_json::Value;

use super::{EVENTS, at, event, key, many, stored};
use crate::support::app::TestApp;

const ON: (&str, &str) = ("AVAL__LIMITS__ENABLED", "true");

fn batch(user: &str, count: usize) -> Value {
    many(&(0..count).map(|id| event(user, &id.to_string(), &at(-1))).collect::<Vec<_>>())
}

#[actix_rt::test]
async fn a_key_is_limited_by_events_and_not_by_requests() {
    let app = TestApp::start_idle_with(&[
        ON,
        ("AVAL__LIMITS__INGEST__API_KEY__PER_MINUTE", "60"),
        ("AVAL__LIMITS__INGEST__API_KEY__BURST", "1000"),
    ])
    .await;
    let first = key(&app, "first", "user", &["events:write"]).await;
    let second = key(&app, "second", "user", &["events:write"]).await;
    let answer = app.with_key(&first).post(EVENTS, &batch("a", 900)).await;
    assert!(
        answer.header("ratelimit").contains(r#""ingest-account";r=100;"#),
        "{}",
        answer.header("ratelimit")
    );
    answer.expect(200);
    let refused = app.with_key(&first).post(EVENTS, &batch("b", 200)).await;
    assert_eq!((refused.status.as_u16(), refused.json["code"].as_str()), (429, Some("rate_limited")));
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((90..=100).contains(&wait), "{wait}");
    assert_eq!(stored(&app).await, "900", "none of a refused request is stored");
    app.with_key(&first).post(EVENTS, &batch("c", 100)).await.expect(200);
    app.with_key(&first).post(EVENTS, &batch("d", 1)).await.expect(429);
    app.with_key(&second).post(EVENTS, &batch("e", 1000)).await.expect(200);
    let refusals = app.metric(&format!(r#"rate_limited_total{{route="{EVENTS}"}}"#)).await;
    assert!((refusals - 2.0).abs() < 0.1);
}

#[actix_rt::test]
async fn guessing_keys_uses_up_the_standard_limit_of_the_address() {
    let app = TestApp::start_idle_with(&[
        ON,
        ("AVAL__LIMITS__STANDARD__ADDRESS__PER_MINUTE", "60"),
        ("AVAL__LIMITS__STANDARD__ADDRESS__BURST", "30"),
    ])
    .await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(app.with_key("aval_wrong").post(EVENTS, &batch("a", 1)).await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429]);
}
