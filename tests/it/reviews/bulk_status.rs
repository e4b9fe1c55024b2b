//! Changing the status of many applications.

use actix_web::http::Method;
use aval::actors::scheduler::StopClaiming;
use aval::clock::Clock;
use aval::domain::application::Country;
use bytes::Bytes;
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;

use super::{NO_DUPLICATE_RULE, assignment, pending, start, under_review};
use crate::support::accounts::ANALYST;
use crate::support::app::TestApp;
use crate::support::db::TestDatabase;
use crate::support::eventually;

const PATH: &str = "/api/v1/applications/bulk-status";

/// A request that rejects what `target` selects.
fn rejection(target: &Value, dry_run: bool) -> Value {
    let mut request =
        json!({"status": "REJECTED", "reason": "The product was discontinued", "dry_run": dry_run});
    request.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
    request
}

/// The number of applications that were rejected.
async fn rejected(app: &TestApp) -> String {
    app.sql("SELECT count(*) FROM audit_logs WHERE new_status = 'REJECTED'").await
}

#[actix_rt::test]
async fn a_real_run_changes_exactly_what_its_dry_run_announced() {
    let app = start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(under_review(&app, Country::Es).await);
    }
    let new = pending(&app, Country::Es).await;
    let assigned = under_review(&app, Country::Es).await;
    app.send(Method::PUT, &assignment(&assigned), &[], Bytes::new()).await.expect(200);
    under_review(&app, Country::Mx).await;
    let analyst = app.acting_as(ANALYST).await;
    let spain = json!({"filter": {"country": "ES"}});
    let skipped = json!([{"application_id": new, "code": "illegal_transition"},
        {"application_id": assigned, "code": "assigned_to_another"}]);

    let announced = analyst.post(PATH, &rejection(&spain, true)).await.expect(200);
    assert_eq!(
        announced,
        json!({"matched": 5, "changeable": 3, "changed": 0, "skipped": skipped, "remaining": 3})
    );
    assert_eq!(rejected(&app).await, "0");

    let mut request = rejection(&spain, false);
    request["expected_count"] = announced["matched"].clone();
    let done = analyst.post(PATH, &request).await.expect(200);
    assert_eq!(
        done,
        json!({"matched": 5, "changeable": 3, "changed": 3, "skipped": skipped, "remaining": 0})
    );
    assert_eq!(rejected(&app).await, "3");
    for id in &ids {
        assert_eq!(app.trail(id).await, "PENDING VALIDATING UNDER_REVIEW REJECTED");
        let audit = app.get(&format!("/api/v1/applications/{id}/audit")).await.expect(200);
        let last = &audit["entries"][3];
        let change = (&last["changed_by"], &last["reason"]);
        assert_eq!(change, (&json!(ANALYST), &json!("The product was discontinued")));
    }
    let events = "SELECT count(*) FROM outbox WHERE type = 'application.status_changed.v1' AND data ->> 'status' = 'REJECTED'";
    assert_eq!(app.sql(events).await, "3");
    let views =
        format!("SELECT count(*) FROM staff_views WHERE account = '{ANALYST}' AND action = 'application'");
    assert_eq!(app.sql(&views).await, "0", "a bulk change shows no application");
}

#[actix_rt::test]
async fn every_filter_selects() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    under_review(&app, Country::Mx).await;
    app.execute(&format!(
        "UPDATE applications SET risk_score = 75, requested_amount = 777 WHERE id = '{id}'"
    ))
    .await;
    let created = app.get(&format!("/api/v1/applications/{id}")).await.expect(200)["created_at"].clone();
    for (filter, matched) in [
        (json!({}), 2),
        (json!({"country": "es"}), 1),
        (json!({"status": "UNDER_REVIEW"}), 2),
        (json!({"status": "PENDING"}), 0),
        (json!({"risk_band": "critical"}), 1),
        (json!({"min_amount": "777", "max_amount": "777.00"}), 1),
        (json!({"to": created}), 0),
        (json!({"from": created, "country": "ES"}), 1),
    ] {
        let answer = app.post(PATH, &rejection(&json!({"filter": filter}), true)).await.expect(200);
        assert_eq!(answer["matched"], matched, "{filter}");
    }
}

#[actix_rt::test]
async fn a_run_with_another_count_than_expected_changes_nothing() {
    let app = start().await;
    under_review(&app, Country::Es).await;
    let mut request = rejection(&json!({"filter": {}}), false);
    for expected in [0, 2] {
        request["expected_count"] = json!(expected);
        let refused = app.post(PATH, &request).await.expect(409);
        assert_eq!((&refused["code"], &refused["matched"]), (&json!("count_changed"), &json!(1)));
    }
    request["dry_run"] = json!(true);
    app.post(PATH, &request).await.expect(200);
    assert_eq!(rejected(&app).await, "0");
}

#[actix_rt::test]
async fn a_repeated_run_changes_nothing_more() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let request = rejection(&json!({"ids": [id, unknown, id]}), false);
    let unknown = json!({"application_id": unknown, "code": "not_found"});
    let first = app.post(PATH, &request).await.expect(200);
    assert_eq!(
        first,
        json!({"matched": 2, "changeable": 1, "changed": 1, "skipped": [unknown], "remaining": 0})
    );
    let done = json!({"application_id": id, "code": "illegal_transition"});
    let second = app.post(PATH, &request).await.expect(200);
    assert_eq!(
        second,
        json!({"matched": 2, "changeable": 0, "changed": 0, "skipped": [done, unknown], "remaining": 0})
    );
    assert_eq!(rejected(&app).await, "1");
}

#[actix_rt::test]
async fn a_filter_that_matches_too_many_applications_is_refused() {
    let app = TestApp::start_idle_with(&[NO_DUPLICATE_RULE, ("AVAL__LISTS__EXACT_UP_TO", "1")]).await;
    under_review(&app, Country::Es).await;
    let request = rejection(&json!({"filter": {}}), true);
    app.post(PATH, &request).await.expect(200);
    under_review(&app, Country::Es).await;
    let refused = app.post(PATH, &request).await;
    assert_eq!(refused.field_errors(), ["/filter too_many_rows"]);
}

#[actix_rt::test]
async fn a_run_skips_what_changed_meanwhile_and_stops_after_half_of_the_request_timeout() {
    let clock = Clock::system();
    let timeout = ("AVAL__SERVER__REQUEST_TIMEOUT_MS", "60000");
    let database = Rc::new(TestDatabase::create().await);
    let app = TestApp::start_at(database, clock.clone(), &[NO_DUPLICATE_RULE, timeout]).await;
    app.engine().handles.scheduler.ask(StopClaiming).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(under_review(&app, Country::Es).await);
    }
    // The run waits for the lock on the second application.
    let mut other = app.database.connect().await;
    let change = format!(
        "BEGIN; UPDATE applications SET requested_amount = requested_amount + 1 WHERE id = '{}'",
        ids[1]
    );
    other.batch_execute(&change).await.unwrap();
    let request = rejection(&json!({"ids": ids}), false);
    let run = app.post(PATH, &request);
    let meanwhile = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the run to wait", async || (app.sql(waiting).await == "1").then_some(())).await;
        clock.advance(Duration::from_secs(31));
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (done, ()) = futures_util::join!(run, meanwhile);
    let skipped = json!([{"application_id": ids[1], "code": "precondition_failed"}]);
    assert_eq!(
        done.expect(200),
        json!({"matched": 4, "changeable": 4, "changed": 1, "skipped": skipped, "remaining": 2})
    );
    assert_eq!(rejected(&app).await, "1");
}
