//! A store that does not answer.

use diesel_async::SimpleAsyncConnection as _;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{EVENTS, at, counts, event, many, stored};
use crate::support::app::TestApp;
use crate::support::eventually;

/// About 800 KB.
fn large_batch(user: &str) -> Value {
    let padding = "x".repeat(8000);
    let padded = |id: usize| {
        let mut event = event(user, &id.to_string(), &at(-1));
        event["properties"] = json!({"padding": padding});
        event
    };
    many(&(0..100).map(padded).collect::<Vec<_>>())
}

#[actix_rt::test]
async fn requests_beyond_the_memory_are_refused_while_the_store_stalls() {
    let app = TestApp::start_idle_with(&[
        ("AVAL__INGEST__MAX_MEMORY_BYTES", "8388608"),
        ("AVAL__SERVER__REQUEST_TIMEOUT_MS", "60000"),
    ])
    .await;
    let mut blocker = app.database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE ingested_events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let batches: Vec<Value> = (0..40).map(|n| large_batch(&format!("user-{n}"))).collect();
    let requests = join_all(batches.iter().map(|batch| app.post(EVENTS, batch)));
    let release = async {
        eventually("a refused request", async || {
            (app.metric("ingest_overloaded_total").await >= 25.0).then_some(())
        })
        .await;
        // 8 MiB hold ten requests of 0.8 MB. Some of them are being written, so they are not in the queue.
        let queued = app.metric("ingest_queue_events").await;
        assert!(queued <= 1000.0, "{queued}");
        blocker.batch_execute("COMMIT").await.unwrap();
    };
    let (answers, ()) = futures_util::join!(requests, release);
    let mut accepted = 0;
    for answer in answers {
        match answer.status.as_u16() {
            200 => {
                assert_eq!(counts(&answer.json), (100, 0, 0, 0));
                accepted += 1;
            }
            503 => {
                assert_eq!((&answer.json["code"], answer.header("retry-after")), (&json!("overloaded"), "1"));
            }
            other => panic!("{other}: {}", answer.json),
        }
    }
    assert!((5..=12).contains(&accepted), "{accepted}");
    assert_eq!(stored(&app).await, (accepted * 100).to_string());
    app.post(EVENTS, &large_batch("later")).await.expect(200);
    assert!(app.metric("ingest_queue_events").await < 0.5);
}

#[actix_rt::test]
async fn requests_that_timed_out_do_not_occupy_the_memory() {
    let app = TestApp::start_idle_with(&[
        ("AVAL__INGEST__MAX_MEMORY_BYTES", "8388608"),
        ("AVAL__INGEST__WRITERS", "1"),
        ("AVAL__SERVER__REQUEST_TIMEOUT_MS", "500"),
    ])
    .await;
    let mut blocker = app.database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE ingested_events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let small = many(&[event("first", "1", &at(-1))]);
    let (first, _) = futures_util::join!(app.post(EVENTS, &small), async {
        eventually("the writer to wait for the lock", async || {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ingested_events'::regclass";
            (app.sql(waiting).await == "1").then_some(())
        })
        .await;
    });
    first.expect(503);
    // More than the memory holds, but only a few at a time.
    for round in 0..4 {
        let batches: Vec<Value> = (0..4).map(|n| large_batch(&format!("user-{round}-{n}"))).collect();
        for answer in join_all(batches.iter().map(|batch| app.post(EVENTS, batch))).await {
            assert_eq!(answer.expect(503)["code"], "timeout");
        }
    }
    blocker.batch_execute("COMMIT").await.unwrap();
    app.post(EVENTS, &many(&[event("last", "1", &at(-1))])).await.expect(200);
    // The writer had begun with the first request. It skipped the requests that nobody waited for.
    assert_eq!(stored(&app).await, "2");
}
