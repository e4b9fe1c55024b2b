//! Days of events: created in advance and dropped as a whole.

use diesel_async::SimpleAsyncConnection as _;
use serde_json::json;

use super::{EVENTS, at, counts, event, many, stored};
use crate::support::app::TestApp;
use crate::support::eventually;

const DAYS: &str = "SELECT string_agg(to_char(current_date - right(relname, 10)::text::date, 'FM99'), ' ' ORDER BY relname) \
                    FROM (SELECT replace(c.relname::text, '_', '-') AS relname FROM pg_inherits i \
                          JOIN pg_class c ON c.oid = i.inhrelid WHERE inhparent = 'ingested_events'::regclass) d";

async fn run(app: &TestApp, task: &str) {
    app.post(&format!("/api/v1/admin/schedule/{task}/run"), &json!({})).await.expect(202);
    let runs = format!("/api/v1/admin/scheduled-runs?task={task}&page_size=1");
    eventually("the task to end", async || {
        let run = app.get(&runs).await.expect(200)["runs"][0].clone();
        (run["outcome"] == "completed").then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn days_are_created_in_advance_and_dropped_after_their_retention() {
    let app = TestApp::start_idle_with(&[
        ("AVAL__INGEST__PARTITIONS_BACK_DAYS", "8"),
        ("AVAL__INGEST__PARTITIONS_AHEAD_DAYS", "2"),
        ("AVAL__INGEST__RETENTION_DAYS", "10"),
    ])
    .await;
    assert_eq!(app.sql(DAYS).await, "8 7 6 5 4 3 2 1 0 -1 -2");
    app.execute("SELECT ensure_ingest_days(current_date - 13, 3)").await;
    app.execute(
        "INSERT INTO ingested_events (occurred_at, received_at, user_id, id, type, properties) \
         SELECT now() - make_interval(days => n), now(), 'ana', n::text, 't', '{}' FROM generate_series(0, 13) n \
         WHERE n <> 9 AND n <> 10",
    )
    .await;
    app.execute("SELECT ensure_ingest_days(current_date - 10, 2)").await;
    run(&app, "expire_ingested_events").await;
    // The events of ten days ago are not all older than ten days.
    assert_eq!(app.sql(DAYS).await, "10 9 8 7 6 5 4 3 2 1 0 -1 -2");
    assert_eq!(stored(&app).await, "9");
    app.execute("SELECT drop_ingest_day(current_date - 10)").await;
    run(&app, "make_partitions").await;
    assert_eq!(app.sql(DAYS).await, "9 8 7 6 5 4 3 2 1 0 -1 -2");
}

#[actix_rt::test]
async fn a_day_that_is_not_eight_days_old_cannot_be_dropped() {
    let app = TestApp::start_idle().await;
    let mut connection = app.database.connect().await;
    assert!(connection.batch_execute("SELECT drop_ingest_day(current_date - 8)").await.is_err());
    assert!(connection.batch_execute("SELECT drop_ingest_day(current_date - 9)").await.is_ok());
}

#[actix_rt::test]
async fn a_day_is_dropped_while_events_are_stored_and_a_reader_delays_it_only_briefly() {
    let app = TestApp::start_idle_with(&[("AVAL__INGEST__RETENTION_DAYS", "10")]).await;
    app.execute("SELECT ensure_ingest_days(current_date - 12, 1)").await;
    app.execute(
        "INSERT INTO ingested_events (occurred_at, received_at, user_id, id, type, properties) \
         SELECT (current_date - 12)::timestamp AT TIME ZONE 'UTC' + make_interval(secs => n), now(), 'user-' || n % 500, \
             n::text, 't', '{\"page\": \"/apply\"}' FROM generate_series(1, 20000) n",
    )
    .await;
    let mut reader = app.database.connect().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM ingested_events").await.unwrap();
    let storing = async {
        for n in 0..40 {
            let receipt = app.post(EVENTS, &many(&[event("ana", &n.to_string(), &at(-1))])).await.expect(200);
            assert_eq!(counts(&receipt), (1, 0, 0, 0));
            if n == 20 {
                reader.batch_execute("COMMIT").await.unwrap();
            }
        }
    };
    let ((), ()) = futures_util::join!(storing, run(&app, "expire_ingested_events"));
    assert_eq!(stored(&app).await, "40");
    let took =
        "SELECT count(*) FROM scheduled_runs WHERE task = 'expire_ingested_events' AND outcome = 'completed'";
    assert_eq!(app.sql(took).await, "1");
}
