//! Scheduled tasks across restarts, takeovers and failures.

use std::rc::Rc;
use std::time::Duration;

use aval::clock::Clock;
use chrono::{TimeDelta, Timelike as _};
use serde_json::{Value, json};

use super::{only, pairs, run, started};
use crate::support::accounts::ADMIN;
use crate::support::app::TestApp;
use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::{DEFAULT, SCHEDULED_TASKS as TASKS, cron_key};
use crate::support::eventually;

const RUNS: &str = "/api/v1/admin/scheduled-runs";
const SCHEDULE: &str = "/api/v1/admin/schedule";
const DAY: Duration = Duration::from_secs(86_400);

/// The outcomes of a task's runs, oldest first.
async fn outcomes(app: &TestApp, task: &str) -> String {
    app.sql(&format!(
        "SELECT string_agg(cause || ':' || outcome, ' ' ORDER BY id) FROM scheduled_runs WHERE task = '{task}'"
    ))
    .await
}

async fn wait_for_outcomes(app: &TestApp, task: &str, expected: &str) {
    eventually(&format!("the runs of {task} to be: {expected}"), async || {
        (outcomes(app, task).await == expected).then_some(())
    })
    .await;
}

/// A daily cron expression that was last due `hours` hours ago.
fn daily(clock: &Clock, hours: i64) -> String {
    let at = clock.now() - TimeDelta::hours(hours);
    format!("{} {} * * *", at.minute(), at.hour())
}

#[actix_rt::test]
async fn a_first_start_runs_and_records_each_task_once() {
    let keys = TASKS.map(cron_key);
    let mut as_shipped: Vec<_> = keys.iter().map(|key| (key.as_str(), DEFAULT)).collect();
    as_shipped.push(("AVAL__HOUSEKEEPING__ARCHIVE__CRON", "off"));
    let app = TestApp::start(&as_shipped).await;
    let completed = "SELECT count(*) FROM scheduled_runs WHERE outcome = 'completed'";
    // All except the archive, which is off.
    let all = (TASKS.len() - 1).to_string();
    eventually("every task to be completed", async || (app.sql(completed).await == all).then_some(())).await;
    let three = "SELECT bool_and(extract(hour FROM due_at AT TIME ZONE 'UTC') = 3 AND due_at <= now()) \
                 FROM scheduled_runs WHERE task = 'expire_webhooks'";
    assert_eq!(app.sql(three).await, "true");

    let schedule = app.get(SCHEDULE).await.expect(200);
    assert_eq!(schedule["time_zone"], "UTC");
    let tasks = schedule["tasks"].as_array().unwrap();
    assert_eq!(tasks.iter().map(|task| task["task"].as_str().unwrap()).collect::<Vec<_>>(), TASKS);
    let now = app.engine().resources.clock.now();
    for task in tasks {
        if task["task"] == "archive" {
            assert_eq!((&task["next_due_at"], &task["last_run"]), (&Value::Null, &Value::Null));
            continue;
        }
        let next: chrono::DateTime<chrono::Utc> = task["next_due_at"].as_str().unwrap().parse().unwrap();
        assert!(next > now && next < now + TimeDelta::days(1) + TimeDelta::minutes(1), "{task}");
        assert_eq!(task["last_run"]["outcome"], "completed");
        assert_eq!(task["last_success_at"], task["last_run"]["finished_at"]);
        let series = format!(
            "scheduled_runs_total{{outcome=\"completed\",task=\"{}\"}}",
            task["task"].as_str().unwrap()
        );
        assert!(app.metric(&series).await >= 1.0, "{series}");
    }
    assert!(app.metric("partitions_ahead_months").await >= 1.0);
    let last = "scheduled_task_last_success_timestamp_seconds{task=\"expire_outbox\"}";
    eventually("the last success to be in the metrics", async || {
        (app.metric(last).await > 1.7e9).then_some(())
    })
    .await;

    let page = app.get(&format!("{RUNS}?page_size=4")).await.expect(200);
    assert_eq!(page["runs"].as_array().unwrap().len(), 4);
    let rest = format!("{RUNS}?page_size=4&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = app.get(&rest).await.expect(200);
    assert_ne!(rest["runs"][0]["id"], page["runs"][3]["id"]);
    let of_one = app.get(&format!("{RUNS}?task=make_partitions&outcome=completed")).await.expect(200);
    assert_eq!(of_one["runs"][0]["detail"], json!({"made": 0, "ingest_days": 0}));
    let refused = app.get(&format!("{RUNS}?task=sweep&outcome=well")).await;
    assert_eq!(refused.field_errors(), ["?task unknown_task", "?outcome unknown_outcome"]);
    app.acting_as(crate::support::accounts::ANALYST).await.get(SCHEDULE).await.expect(403);
}

#[actix_rt::test]
async fn a_run_missed_without_a_leader_happens_once_or_is_skipped_by_policy() {
    let clock = Clock::system();
    let six_hours_ago = daily(&clock, 6);
    let tasks =
        [("expire_webhooks", six_hours_ago.as_str(), "run"), ("expire_staff_views", &six_hours_ago, "skip")];
    let (keys, database) = (only(&tasks), Rc::new(TestDatabase::create().await));
    let app = TestApp::start_at(Rc::clone(&database), clock.clone(), &pairs(&keys)).await;
    wait_for_outcomes(&app, "expire_webhooks", "schedule:completed").await;
    assert_eq!(outcomes(&app, "expire_staff_views").await, "");
    app.stop().await;

    // Three due times pass.
    clock.advance(3 * DAY);
    let app = TestApp::start_at(database, clock.clone(), &pairs(&keys)).await;
    wait_for_outcomes(&app, "expire_webhooks", "schedule:completed schedule:completed").await;
    assert_eq!(outcomes(&app, "expire_staff_views").await, "");
    let late = "SELECT count(*) FROM scheduled_runs WHERE started_at - due_at > interval '5 hours'";
    assert_eq!(app.sql(late).await, "2");

    // An instance is running at the next due time, so both tasks run.
    clock.advance(Duration::from_secs(18 * 3600));
    wait_for_outcomes(&app, "expire_webhooks", "schedule:completed schedule:completed schedule:completed")
        .await;
    wait_for_outcomes(&app, "expire_staff_views", "schedule:completed").await;
}

#[actix_rt::test]
async fn a_takeover_neither_loses_nor_repeats_a_due_time() {
    let clock = Clock::system();
    let keys = only(&[("expire_webhooks", &daily(&clock, 6), "run")]);
    let database = Rc::new(TestDatabase::create().await);
    let first = TestApp::start_at(Rc::clone(&database), clock.clone(), &pairs(&keys)).await;
    let completed = "SELECT count(*) FROM scheduled_runs WHERE outcome = 'completed'";
    eventually("the first instance to become the leader", async || {
        (first.sql(completed).await == "1").then_some(())
    })
    .await;
    let second = TestApp::start_at(Rc::clone(&database), clock.clone(), &pairs(&keys)).await;
    let count = async |expected: u32| {
        eventually(&format!("run {expected}"), async || {
            let done = second.sql(completed).await.parse::<u32>().unwrap();
            assert!(done <= expected, "{done} runs for {expected} days");
            (done == expected).then_some(())
        })
        .await;
    };
    let mut expected = 1;
    for _ in 0..3 {
        clock.advance(DAY);
        expected += 1;
        count(expected).await;
    }
    // The leader loses the connection that holds the lock.
    for _ in 0..3 {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks, \
                   (SELECT hashtextextended('aval.leader.housekeeper', 0) AS key) k \
                   WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database \
                       WHERE datname = current_database()) \
                   AND ((classid::bigint << 32) | objid::bigint) = key";
        assert_eq!(second.sql(cut).await, "1");
        clock.advance(DAY);
        expected += 1;
        count(expected).await;
    }
    first.stop().await;
    for _ in 0..2 {
        clock.advance(DAY);
        expected += 1;
        count(expected).await;
    }
    let gaps = "SELECT count(*) FROM (SELECT due_at - lag(due_at) OVER (ORDER BY due_at) AS gap \
                FROM scheduled_runs WHERE cause = 'schedule') g WHERE gap <> interval '1 day'";
    assert_eq!(second.sql(gaps).await, "0");
    assert_eq!(second.sql("SELECT count(*) FROM scheduled_runs WHERE outcome = 'running'").await, "0");
}

#[actix_rt::test]
async fn a_run_of_a_dead_leader_is_abandoned_and_repeated() {
    let clock = Clock::system();
    let six_hours_ago = daily(&clock, 6);
    let tasks =
        [("expire_webhooks", six_hours_ago.as_str(), "run"), ("expire_staff_views", &six_hours_ago, "skip")];
    let database = Rc::new(TestDatabase::create().await);
    let mut sql = database.connect().await;
    for (task, _, _) in tasks {
        let left = format!(
            "INSERT INTO scheduled_runs (id, task, cause, due_at, outcome, started_at, instance) VALUES \
             (uuid_v7_now(), '{task}', 'schedule', date_trunc('minute', now() - interval '6 hours'), 'running', \
              now() - interval '6 hours', 'dead')"
        );
        execute(&mut sql, &left).await.unwrap();
    }
    let app = TestApp::start_at(database, clock, &pairs(&only(&tasks))).await;
    wait_for_outcomes(&app, "expire_webhooks", "schedule:abandoned retry:completed").await;
    // The policy for missed runs does not apply to an abandoned run, so this run is repeated too.
    wait_for_outcomes(&app, "expire_staff_views", "schedule:abandoned retry:completed").await;
    let series = "scheduled_runs_total{outcome=\"abandoned\",task=\"expire_webhooks\"}";
    assert!((app.metric(series).await - 1.0).abs() < 0.5);
    let recorded = "SELECT instance || ' ' || error_type FROM scheduled_runs WHERE task = 'expire_webhooks' \
                AND outcome = 'abandoned'";
    assert_eq!(app.sql(recorded).await, "dead abandoned");
}

#[actix_rt::test]
async fn a_failed_task_is_retried_after_its_pause_and_does_not_block_others() {
    let clock = Clock::system();
    let long_ago = daily(&clock, 6);
    let tasks = [
        ("expire_document_claims", long_ago.as_str(), "run"),
        ("expire_webhooks", &long_ago, "run"),
        ("expire_staff_views", &long_ago, "run"),
    ];
    let database = Rc::new(TestDatabase::create().await);
    let mut sql = database.connect().await;
    execute(&mut sql, "ALTER TABLE document_claims RENAME TO hidden").await.unwrap();
    let app = TestApp::start_at(Rc::clone(&database), clock.clone(), &pairs(&only(&tasks))).await;
    wait_for_outcomes(&app, "expire_document_claims", "schedule:failed").await;
    wait_for_outcomes(&app, "expire_webhooks", "schedule:completed").await;
    wait_for_outcomes(&app, "expire_staff_views", "schedule:completed").await;
    let failed = app.get(&format!("{RUNS}?outcome=failed")).await.expect(200);
    assert_eq!(failed["runs"][0]["error_type"], "database_error");
    let series = "scheduled_runs_total{outcome=\"failed\",task=\"expire_document_claims\"}";
    assert!((app.metric(series).await - 1.0).abs() < 0.5);

    clock.advance(Duration::from_secs(901));
    wait_for_outcomes(&app, "expire_document_claims", "schedule:failed retry:failed").await;
    execute(&mut sql, "ALTER TABLE hidden RENAME TO document_claims").await.unwrap();
    clock.advance(Duration::from_secs(901));
    wait_for_outcomes(&app, "expire_document_claims", "schedule:failed retry:failed retry:completed").await;
    assert_eq!(outcomes(&app, "expire_webhooks").await, "schedule:completed");
}

#[actix_rt::test]
async fn an_operator_can_run_a_task_even_if_it_is_off() {
    let app = started(&[]).await;
    let done = run(&app, "expire_webhooks").await;
    assert_eq!((&done["outcome"], &done["cause"]), (&json!("completed"), &json!("request")));
    assert_eq!((&done["requested_by"], &done["detail"]), (&json!(ADMIN), &json!({"deleted": 0})));
    assert_eq!(app.sql("SELECT count(*) FROM scheduled_runs").await, "1");
    app.post(&format!("{SCHEDULE}/sweep_the_floor/run"), &Value::Null).await.expect(404);
    let analyst = app.acting_as(crate::support::accounts::ANALYST).await;
    analyst.post(&format!("{SCHEDULE}/expire_webhooks/run"), &Value::Null).await.expect(403);
}

#[actix_rt::test]
async fn a_waiting_request_for_a_run_is_not_duplicated() {
    let database = Rc::new(TestDatabase::create().await);
    let mut leader = database.connect().await;
    let key = "hashtextextended('aval.leader.housekeeper', 0)";
    assert_eq!(
        text(&mut leader, &format!("SELECT pg_try_advisory_lock({key})")).await.as_deref(),
        Some("true")
    );
    let app = TestApp::start_on(database, &pairs(&only(&[]))).await;
    let path = format!("{SCHEDULE}/expire_outbox/run");
    let queued = app.post(&path, &Value::Null).await.expect(202);
    assert_eq!((&queued["outcome"], &queued["started_at"]), (&json!("requested"), &Value::Null));
    assert_eq!(app.post(&path, &Value::Null).await.expect(202)["id"], queued["id"]);
    execute(&mut leader, &format!("SELECT pg_advisory_unlock({key})")).await.unwrap();
    wait_for_outcomes(&app, "expire_outbox", "request:completed").await;
}
