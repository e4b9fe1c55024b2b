//! Steps that fail before the pivot: everything is reverted.

use aval::domain::application::Country;
use aval::domain::disbursement::rail::Rail;
use aval::rails::simulator::Faults;

use super::*;

#[actix_rt::test]
async fn a_payment_that_a_rail_refuses_is_reverted_with_its_reason() {
    let app = start().await;
    for (tail, reason, last) in [
        ("90", "AC01", "step_failed"),
        ("92", "AC04", "payment_rejected"),
        ("93", "AM04", "payment_rejected"),
        ("94", "AM05", "payment_rejected"),
    ] {
        let id = begin(&app, Country::Es, &spanish(tail)).await;
        let cancelled = reaches(&app, &id, "CANCELLED").await;
        assert_eq!(cancelled["reason"], reason);
        let events = history(&app, &id).await;
        assert_eq!(events[events.len() - 2..], [last, "funds_released"], "{tail}");
        app.reaches(cancelled["application_id"].as_str().unwrap(), "APPROVED").await;
    }
    assert_eq!(spanish_pool(&app).await, ("1000000.00".to_owned(), "0.00".to_owned()));
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_cancelled_disbursement_may_be_followed_by_another_one() {
    let app = start().await;
    let application = approved(&app, Country::Es).await;
    let first = request(&app, &application, &spanish("92")).await.expect(202);
    reaches(&app, first["disbursement_id"].as_str().unwrap(), "CANCELLED").await;
    let second = request(&app, &application, &spanish("32")).await.expect(202);
    reaches(&app, second["disbursement_id"].as_str().unwrap(), "COMPLETED").await;
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_pool_without_funds_refuses_and_never_becomes_negative() {
    let app = TestApp::start(&QUICK_RAILS).await;
    fund(&app, "ES", "6000.16").await;
    let first = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &first, "COMPLETED").await;
    assert_eq!(spanish_pool(&app).await, ("0.16".to_owned(), "0.00".to_owned()));
    let second = begin(&app, Country::Es, &spanish("32")).await;
    let cancelled = reaches(&app, &second, "CANCELLED").await;
    assert_eq!(cancelled["reason"], "insufficient_funds");
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_step_whose_statements_fail_is_repeated_and_then_reverted() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__MAX_ATTEMPTS", "2")]).await;
    app.execute(
        "ALTER TABLE disbursement_events ADD CONSTRAINT broken CHECK (kind <> 'destination_verified')",
    )
    .await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    let cancelled = reaches(&app, &id, "CANCELLED").await;
    assert_eq!(cancelled["reason"], "database_error");
    let expected = ["requested", "funds_reserved", "step_failed", "funds_released"];
    assert_eq!(history(&app, &id).await, expected);
    let letters = app.get("/api/v1/admin/failed-jobs?task=disbursement_step").await.expect(200);
    assert_eq!(letters["failed_jobs"][0]["attempts"], 2);
    // A retried dead letter is of an earlier state and has no effect.
    let path =
        format!("/api/v1/admin/failed-jobs/{}/retry", letters["failed_jobs"][0]["id"].as_str().unwrap());
    app.post(&path, &json!({"reason": "again"})).await.expect(200);
    let superseded =
        "SELECT count(*) FROM job_history WHERE task_name = 'disbursement_step' AND result = 'superseded'";
    eventually("the retried job", async || (app.sql(superseded).await == "1").then_some(())).await;
    assert_eq!(history(&app, &id).await, expected);
    assert!(book(&app).payments(Rail::Sepa).is_empty());
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_step_after_the_pivot_that_fails_is_stuck_and_can_be_resumed() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__MAX_ATTEMPTS", "2")]).await;
    app.execute("ALTER TABLE ledger_entries ADD CONSTRAINT broken CHECK (kind <> 'payout') NOT VALID").await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    let stuck = reaches(&app, &id, "STUCK").await;
    assert_eq!((&stuck["stuck_in"], &stuck["reason"]), (&json!("CONFIRMED"), &json!("database_error")));
    app.reaches(stuck["application_id"].as_str().unwrap(), "APPROVED").await;
    assert_eq!(spanish_pool(&app).await, ("994000.00".to_owned(), "6000.00".to_owned()));
    assert_sound(&app).await;
    app.execute("ALTER TABLE ledger_entries DROP CONSTRAINT broken").await;
    super::approving::act(&app, &id, "resume", &json!({"reason": "repaired"})).await;
    reaches(&app, &id, "COMPLETED").await;
    assert_eq!(only_payment(&app, Rail::Sepa).submissions, 1);
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_compensation_that_fails_is_stuck_and_can_be_resumed() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__MAX_ATTEMPTS", "2")]).await;
    app.execute("ALTER TABLE funding_reservations ADD CONSTRAINT broken CHECK (status <> 'released')").await;
    let id = begin(&app, Country::Es, &spanish("92")).await;
    let stuck = reaches(&app, &id, "STUCK").await;
    assert_eq!(stuck["stuck_in"], "COMPENSATING");
    app.execute("ALTER TABLE funding_reservations DROP CONSTRAINT broken").await;
    super::approving::act(&app, &id, "resume", &json!({"reason": "repaired"})).await;
    reaches(&app, &id, "CANCELLED").await;
    assert_eq!(spanish_pool(&app).await.1, "0.00");
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_rail_that_is_down_delays_the_payment_and_nothing_is_lost() {
    let app = start().await;
    book(&app).set_faults(Rail::Sepa, Faults { fail_next: 3, ..Faults::default() });
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "COMPLETED").await;
    assert_eq!(only_payment(&app, Rail::Sepa).submissions, 1);
    assert_sound(&app).await;
}
