//! Refused events that are kept.

use std::rc::Rc;
use std::time::Duration;

use aval::clock::Clock;
use serde_json::json;

use super::{EVENTS, at, counts, event, many, stored};
use crate::support::app::TestApp;
use crate::support::db::TestDatabase;

const LETTERS: &str = "/api/v1/ingest/dead-letters";

#[actix_rt::test]
async fn refused_events_are_kept_retried_and_discarded() {
    let database = Rc::new(TestDatabase::create().await);
    let clock = Clock::manual(Clock::system().now());
    let app = TestApp::start_at(database, clock.clone(), &[("AVAL__INGEST__KEEP_REJECTED", "100")]).await;
    let ahead = event("ana", "early", &at(600));
    let mut wrong = event("ana", "wrong", &at(-1));
    wrong["type"] = json!(7);
    app.post(EVENTS, &many(&[ahead.clone(), event("ana", "1", &at(-1)), wrong.clone()])).await.expect(200);
    app.post(EVENTS, &wrong).await.expect(422);
    let page = app.get(LETTERS).await.expect(200);
    let letters = page["dead_letters"].as_array().unwrap();
    let mut codes: Vec<&str> = letters.iter().map(|letter| letter["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["bad_type", "bad_type", "in_the_future"]);
    let early = app.get(&format!("{LETTERS}?code=in_the_future&account=test-admin")).await.expect(200);
    let path = |letter: &serde_json::Value| format!("{LETTERS}/{}", letter["id"].as_str().unwrap());
    let early = path(&early["dead_letters"][0]);
    let found = app.get(&early).await.expect(200);
    assert_eq!(
        (&found["event"], &found["detail"]),
        (&ahead, &json!("occurred_at must be at most 5 minutes in the future"))
    );

    app.post(&format!("{early}/retry"), &json!(null)).await.expect(422);
    clock.advance(Duration::from_secs(600));
    let receipt = app.post(&format!("{early}/retry"), &json!(null)).await.expect(200);
    assert_eq!(counts(&receipt), (1, 0, 0, 0));
    app.get(&early).await.expect(404);
    app.post(&format!("{early}/retry"), &json!(null)).await.expect(404);
    let wrong = path(letters.iter().find(|letter| letter["code"] == "bad_type").unwrap());
    assert_eq!(app.post(&format!("{wrong}/retry"), &json!(null)).await.field_errors(), ["/type bad_type"]);
    app.post(&format!("{wrong}/discard"), &json!(null)).await.expect(204);
    app.post(&format!("{wrong}/discard"), &json!(null)).await.expect(404);
    assert_eq!(app.get(LETTERS).await.expect(200)["dead_letters"].as_array().unwrap().len(), 1);
    assert_eq!(stored(&app).await, "2");
}

#[actix_rt::test]
async fn the_number_of_kept_events_is_bounded_and_none_is_kept_by_default() {
    let app = TestApp::start_idle_with(&[("AVAL__INGEST__KEEP_REJECTED", "20")]).await;
    for _ in 0..10 {
        app.post(EVENTS, &many(&vec![json!({}); 30])).await.expect(422);
    }
    let kept: u32 = app.sql("SELECT count(*) FROM ingest_dead_letters").await.parse().unwrap();
    assert!((20..=22).contains(&kept), "{kept}");
    let app = TestApp::start_idle().await;
    app.post(EVENTS, &many(&[json!({})])).await.expect(422);
    assert_eq!(app.sql("SELECT count(*) FROM ingest_dead_letters").await, "0");
}
