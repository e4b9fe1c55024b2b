//! Messages that cannot be applied at first.

use std::time::Duration;

use aval::domain::application::Country;
use serde_json::json;

use super::{confirmed, waiting};
use crate::support::app::TestApp;
use crate::support::eventually;

/// Nothing can be decided...
const BREAK: &str = "ALTER TABLE decisions ADD CONSTRAINT broken CHECK (false) NOT VALID";
/// ...and now it can again.
const MEND: &str = "ALTER TABLE decisions DROP CONSTRAINT broken";

const STATE: &str =
    "SELECT concat_ws(' ', status, attempts, error_type, next_attempt_at IS NOT NULL) FROM webhook_events";

async fn idle(overrides: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start(overrides).await;
    app.engine().handles.scheduler.ask(aval::actors::scheduler::StopClaiming).await.unwrap();
    app
}

#[actix_rt::test]
async fn a_message_that_cannot_be_applied_is_kept_and_applied_when_it_is_sent_again() {
    let app = idle(&[]).await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id);
    app.execute(BREAK).await;
    let refused = message.send(&app).await;
    assert!(!refused.header("retry-after").is_empty());
    refused.expect(503);
    assert_eq!(app.sql(STATE).await, "failed 1 database_error t");
    assert_eq!(app.trail(&id).await, "PENDING", "nothing of it was done");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "1");
    message.clone().with("credit_score", 300).send(&app).await.expect(409);
    app.execute(MEND).await;
    assert_eq!(message.send(&app).await.expect(200)["applied"], true);
    assert_eq!(message.send(&app).await.expect(200), json!({"duplicate": true}));
    assert_eq!(app.sql(STATE).await, "applied 2 database_error f");
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
}

#[actix_rt::test]
async fn the_housekeeper_applies_what_failed_without_being_asked() {
    let app = idle(&[("AVAL__WEBHOOKS__RETRY_BASE_MS", "20")]).await;
    let id = waiting(&app, Country::Es).await;
    app.execute(BREAK).await;
    confirmed(&id).send(&app).await.expect(503);
    eventually("another attempt", async || {
        (app.sql("SELECT attempts > 1 FROM webhook_events").await == "true").then_some(())
    })
    .await;
    app.execute(MEND).await;
    app.reaches(&id, "APPROVED").await;
    assert_eq!(app.sql("SELECT status FROM webhook_events").await, "applied");
    assert_eq!(app.sql("SELECT count(*) FROM decisions").await, "1");
}

#[actix_rt::test]
async fn attempts_are_bounded_and_the_sender_may_always_try_again() {
    let app = idle(&[("AVAL__WEBHOOKS__RETRY_BASE_MS", "1"), ("AVAL__WEBHOOKS__MAX_ATTEMPTS", "3")]).await;
    let message = confirmed(&waiting(&app, Country::Es).await);
    app.execute(BREAK).await;
    message.send(&app).await.expect(503);
    eventually("the last attempt", async || {
        (app.sql(STATE).await == "failed 3 database_error f").then_some(())
    })
    .await;
    app.execute(MEND).await;
    message.send(&app).await.expect(200);
    assert_eq!(app.sql(STATE).await, "applied 4 database_error f");
}

#[actix_rt::test]
async fn a_stored_message_that_cannot_be_read_any_more_stands_in_nobodys_way() {
    let app = idle(&[("AVAL__WEBHOOKS__RETRY_BASE_MS", "400")]).await;
    let (first, second) = (waiting(&app, Country::Es).await, waiting(&app, Country::Pt).await);
    app.execute(BREAK).await;
    confirmed(&first).send(&app).await.expect(503);
    confirmed(&second).send(&app).await.expect(503);
    app.execute(&format!(
        "UPDATE webhook_events SET payload = '\\x01ffffffff00' WHERE application_id = '{first}'"
    ))
    .await;
    app.execute(MEND).await;
    app.reaches(&second, "APPROVED").await;
    let left = format!(
        "SELECT concat_ws(' ', status, error_type, next_attempt_at IS NULL) FROM webhook_events \
         WHERE application_id = '{first}'"
    );
    eventually("the broken one to be given up", async || {
        (app.sql(&left).await == "failed internal_error t").then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn nothing_is_kept_of_a_message_whose_applicant_cannot_be_read() {
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
async fn a_connection_that_dies_in_the_middle_leaves_nothing_behind_and_the_message_is_applied_once() {
    let app = idle(&[]).await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id);
    let mut holder = app.database.connect().await;
    crate::support::db::execute(&mut holder, "BEGIN").await.unwrap();
    crate::support::db::execute(&mut holder, "SELECT 1 FROM applications FOR UPDATE").await.unwrap();
    let killing = async {
        let waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the message to wait for its application", async || {
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
async fn messages_are_forgotten_after_thirty_days_at_three_in_the_morning() {
    // The instance's clock moves by a day, the database's stays.
    let app = idle(&[("AVAL__INSTANCE__MAX_CLOCK_SKEW_MS", "100000000")]).await;
    let (old, young) = (waiting(&app, Country::Es).await, waiting(&app, Country::Pt).await);
    for id in [&old, &young] {
        confirmed(id).send(&app).await.expect(200);
    }
    let age = |id: &str, days: u32| {
        format!(
            "UPDATE webhook_events SET received_at = now() - interval '{days} days' WHERE application_id = '{id}'"
        )
    };
    app.execute("ALTER TABLE webhook_events DISABLE TRIGGER webhook_events_recorded").await;
    app.execute(&age(&old, 30)).await;
    app.execute(&age(&young, 28)).await;
    app.engine().resources.clock.advance(Duration::from_secs(24 * 3600));
    eventually("the old one to be forgotten", async || {
        (app.sql("SELECT count(*) FROM webhook_events").await == "1").then_some(())
    })
    .await;
    assert_eq!(app.sql("SELECT application_id FROM webhook_events").await, young);
}
