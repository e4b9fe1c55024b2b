//! Webhooks that cannot be applied at first.

use std::time::Duration;

use aval::domain::application::Country;
use serde_json::{Value, json};

use super::{confirmed, waiting};
use crate::support::app::TestApp;
use crate::support::engine::DEFAULT;
use crate::support::eventually;

/// Makes every decision fail.
const BREAK: &str = "ALTER TABLE decisions ADD CONSTRAINT broken CHECK (false) NOT VALID";
/// Undoes [`BREAK`].
const REPAIR: &str = "ALTER TABLE decisions DROP CONSTRAINT broken";

const STATE: &str = "SELECT concat_ws(' ', status, attempts, error_type) FROM webhook_events";
const RETRIES: &str = "SELECT count(*) FROM pending_jobs WHERE task_name = 'retry_webhook_event'";
/// The results and attempts of the finished retries.
const ENDED: &str = "SELECT string_agg(concat_ws(' ', result, attempt), ', ' ORDER BY finished_at) FROM job_history \
    WHERE task_name = 'retry_webhook_event'";

const JOBS: &str = "/api/v1/admin/jobs";
const DEAD_LETTERS: &str = "/api/v1/admin/failed-jobs";

/// Starts an instance that runs no jobs.
async fn idle(overrides: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start(overrides).await;
    app.engine().handles.scheduler.ask(aval::actors::scheduler::StopClaiming).await.unwrap();
    app
}

async fn set_paused(app: &TestApp, lane: &str, paused: bool) {
    app.put(&format!("{JOBS}/lanes/{lane}"), &json!({"paused": paused, "reason": "test"})).await.expect(200);
}

/// Starts an instance that retries webhooks but does not process applications.
async fn retrying(overrides: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start(&[&[("AVAL__JOBS__POLL_INTERVAL_MS", "20")], overrides].concat()).await;
    for lane in ["ES", "PT"] {
        set_paused(&app, lane, true).await;
    }
    app
}

/// The only webhook event in the list for operators.
async fn event(app: &TestApp) -> Value {
    let page = app.get("/api/v1/admin/webhook-events").await.expect(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    page["events"][0].clone()
}

/// Waits for the only dead letter and returns it.
async fn dead_letter(app: &TestApp) -> Value {
    let found = eventually("the dead letter", async || {
        let page = app.get(&format!("{DEAD_LETTERS}?task=retry_webhook_event")).await.expect(200);
        page["failed_jobs"].as_array().unwrap().first().cloned()
    })
    .await;
    app.get(&format!("{DEAD_LETTERS}/{}", found["id"].as_str().unwrap())).await.expect(200)
}

#[actix_rt::test]
async fn a_webhook_that_cannot_be_applied_is_kept_and_applied_when_sent_again() {
    let app = idle(&[]).await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id);
    app.execute(BREAK).await;
    let refused = message.send(&app).await;
    assert!(!refused.header("retry-after").is_empty());
    refused.expect(503);
    assert_eq!(app.sql(STATE).await, "failed 1 database_error");
    assert_eq!(app.trail(&id).await, "PENDING", "a failed webhook must not change the application");
    let jobs = "SELECT string_agg(task_name, ' ' ORDER BY task_name) FROM pending_jobs";
    assert_eq!(app.sql(jobs).await, "process_credit_application retry_webhook_event");
    message.clone().with("credit_score", 300).send(&app).await.expect(409);
    app.execute(REPAIR).await;
    assert_eq!(message.send(&app).await.expect(200)["applied"], true);
    assert_eq!(message.send(&app).await.expect(200), json!({"duplicate": true}));
    assert_eq!(app.sql(STATE).await, "applied 2 database_error");
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    assert_eq!(app.sql(ENDED).await, "superseded 0");
}

#[actix_rt::test]
async fn a_failed_webhook_is_retried_by_a_job_until_it_is_applied() {
    let app =
        retrying(&[("AVAL__WEBHOOKS__RETRY_BASE_MS", "20"), ("AVAL__WEBHOOKS__MAX_ATTEMPTS", "100")]).await;
    let id = waiting(&app, Country::Es).await;
    app.execute(BREAK).await;
    confirmed(&id).send(&app).await.expect(503);
    eventually("two retries", async || {
        (app.sql("SELECT attempts > 2 FROM webhook_events").await == "true").then_some(())
    })
    .await;
    app.execute(REPAIR).await;
    app.reaches(&id, "APPROVED").await;
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
    assert_eq!(app.sql("SELECT status FROM webhook_events").await, "applied");
    assert_eq!(app.sql("SELECT count(*) FROM decisions").await, "1");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    let matches = "SELECT result || ' ' || (attempt = (SELECT attempts - 1 FROM webhook_events)) FROM job_history \
        WHERE task_name = 'retry_webhook_event'";
    assert_eq!(app.sql(matches).await, "completed true");
    for status in ["success", "retried"] {
        let counter = format!("worker_tasks_total{{status=\"{status}\",task_name=\"retry_webhook_event\"}}");
        eventually(&counter, async || (app.metric(&counter).await >= 1.0).then_some(())).await;
    }
}

#[actix_rt::test]
async fn a_waiting_retry_is_listed_and_there_is_one_per_webhook() {
    let app = idle(&[]).await;
    let message = confirmed(&waiting(&app, Country::Es).await);
    app.execute(BREAK).await;
    for _ in 0..2 {
        message.send(&app).await.expect(503);
        let page = app.get(&format!("{JOBS}?task=retry_webhook_event")).await.expect(200);
        let jobs = page["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 1);
        let (job, event) = (&jobs[0], event(&app).await);
        assert_eq!(
            (&job["lane"], &job["status"], &job["attempts"], &job["application_id"]),
            (&json!("webhooks"), &json!("pending"), &json!(0), &Value::Null)
        );
        assert_eq!((&job["run_at"], &job["request_id"]), (&event["next_attempt_at"], &event["request_id"]));
    }
    assert_eq!(event(&app).await["attempts"], 2);
}

#[actix_rt::test]
async fn a_webhook_becomes_a_dead_letter_after_its_last_retry_and_an_operator_can_retry_it() {
    let app =
        retrying(&[("AVAL__WEBHOOKS__RETRY_BASE_MS", "1"), ("AVAL__WEBHOOKS__MAX_ATTEMPTS", "2")]).await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id);
    app.execute(BREAK).await;
    message.send(&app).await.expect(503);
    let dead_letter = dead_letter(&app).await;
    let event = event(&app).await;
    assert_eq!(
        (&dead_letter["lane"], &dead_letter["attempts"], &dead_letter["error_type"], &dead_letter["args"]),
        (&json!("webhooks"), &json!(2), &json!("database_error"), &json!({"webhook_event_id": event["id"]}))
    );
    assert_eq!((&event["status"], &event["attempts"]), (&json!("failed"), &json!(3)));
    assert_eq!(event["next_attempt_at"], Value::Null);
    assert_eq!(app.trail(&id).await, "PENDING");

    let retry = format!("{DEAD_LETTERS}/{}/retry", dead_letter["id"].as_str().unwrap());
    let reason = json!({"reason": "The constraint is gone"});
    set_paused(&app, "webhooks", true).await;
    message.send(&app).await.expect(503);
    assert_eq!(app.sql(RETRIES).await, "1");
    app.post(&retry, &reason).await.expect(409);
    app.execute("DELETE FROM pending_jobs WHERE task_name = 'retry_webhook_event'").await;
    app.execute(REPAIR).await;
    app.post(&retry, &reason).await.expect(200);
    assert_eq!(app.trail(&id).await, "PENDING", "a paused lane must not run jobs");
    set_paused(&app, "webhooks", false).await;
    app.reaches(&id, "APPROVED").await;
    assert_eq!(app.sql(STATE).await, "applied 5 database_error");
    assert_eq!(app.sql(ENDED).await, "failed 2, completed 1");
}

#[actix_rt::test]
async fn a_dead_lettered_webhook_is_applied_when_sent_again_and_a_later_retry_changes_nothing() {
    let app =
        retrying(&[("AVAL__WEBHOOKS__RETRY_BASE_MS", "1"), ("AVAL__WEBHOOKS__MAX_ATTEMPTS", "1")]).await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id);
    app.execute(BREAK).await;
    message.send(&app).await.expect(503);
    let dead_letter = dead_letter(&app).await;
    app.execute(REPAIR).await;
    message.send(&app).await.expect(200);
    assert_eq!(app.sql(STATE).await, "applied 3 database_error");
    let retry = format!("{DEAD_LETTERS}/{}/retry", dead_letter["id"].as_str().unwrap());
    app.post(&retry, &json!({"reason": "test"})).await.expect(200);
    eventually("the retry to end", async || (app.sql(ENDED).await == "failed 1, superseded 1").then_some(()))
        .await;
    assert_eq!(app.sql(STATE).await, "applied 3 database_error");
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
}

#[actix_rt::test]
async fn a_webhook_that_cannot_be_decrypted_becomes_a_dead_letter_immediately_and_delays_no_other() {
    let app = retrying(&[("AVAL__WEBHOOKS__RETRY_BASE_MS", "400")]).await;
    let (first, second) = (waiting(&app, Country::Es).await, waiting(&app, Country::Pt).await);
    app.execute(BREAK).await;
    confirmed(&first).send(&app).await.expect(503);
    confirmed(&second).send(&app).await.expect(503);
    app.execute(&format!(
        "UPDATE webhook_events SET payload = '\\x01ffffffff00' WHERE application_id = '{first}'"
    ))
    .await;
    app.execute(REPAIR).await;
    app.reaches(&second, "APPROVED").await;
    let dead_letter = dead_letter(&app).await;
    assert_eq!(dead_letter["error_type"], "internal_error");
    assert!(dead_letter["attempts"].as_i64().unwrap() < 8);
    let left = format!(
        "SELECT concat_ws(' ', status, error_type) FROM webhook_events WHERE application_id = '{first}'"
    );
    assert_eq!(app.sql(&left).await, "failed internal_error");
}

#[actix_rt::test]
async fn a_webhook_is_not_stored_if_its_applicant_cannot_be_decrypted() {
    let app = idle(&[]).await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id).with("provider_reference", "ref-1234-5678-z");
    let name = app.sql("SELECT encode(full_name, 'hex') FROM applications").await;
    app.execute("ALTER TABLE applications DISABLE TRIGGER USER").await;
    app.execute("UPDATE applications SET full_name = '\\xff00'").await;
    message.send(&app).await.expect(500);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "0");
    app.execute(&format!("UPDATE applications SET full_name = '\\x{name}'")).await;
    app.execute("ALTER TABLE applications ENABLE TRIGGER USER").await;
    message.send(&app).await.expect(422);
    message.with("provider_reference", "ref-1").send(&app).await.expect(200);
}

#[actix_rt::test]
async fn a_webhook_is_applied_once_if_the_database_connection_is_lost_during_the_transaction() {
    let app = idle(&[]).await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id);
    let mut holder = app.database.connect().await;
    crate::support::db::execute(&mut holder, "BEGIN").await.unwrap();
    crate::support::db::execute(&mut holder, "SELECT 1 FROM applications FOR UPDATE").await.unwrap();
    let killing = async {
        let waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the webhook to wait for its application", async || {
            (app.sql(waiting).await != "0").then_some(())
        })
        .await;
        crate::support::db::execute(&mut holder, "ROLLBACK").await.unwrap();
    };
    let (answer, ()) = futures_util::future::join(message.send(&app), killing).await;
    assert_eq!(answer.expect(200)["applied"], true);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "1");
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
}

#[actix_rt::test]
async fn webhooks_are_deleted_after_thirty_days_at_three_in_the_morning() {
    // The test advances the instance's clock by a day, but not the database's.
    let app = idle(&[
        ("AVAL__INSTANCE__MAX_CLOCK_SKEW_MS", "100000000"),
        ("AVAL__HOUSEKEEPING__EXPIRE_WEBHOOKS__CRON", DEFAULT),
    ])
    .await;
    let (old, recent) = (waiting(&app, Country::Es).await, waiting(&app, Country::Pt).await);
    for id in [&old, &recent] {
        confirmed(id).send(&app).await.expect(200);
    }
    let age = |id: &str, days: u32| {
        format!(
            "UPDATE webhook_events SET received_at = now() - interval '{days} days' WHERE application_id = '{id}'"
        )
    };
    app.execute("ALTER TABLE webhook_events DISABLE TRIGGER webhook_events_recorded").await;
    app.execute(&age(&old, 30)).await;
    app.execute(&age(&recent, 28)).await;
    app.engine().resources.clock.advance(Duration::from_secs(24 * 3600));
    eventually("the old webhook to be deleted", async || {
        (app.sql("SELECT count(*) FROM webhook_events").await == "1").then_some(())
    })
    .await;
    assert_eq!(app.sql("SELECT application_id FROM webhook_events").await, recent);
}
