//! Submissions without an answer: the rail is asked, and nothing is paid twice.

use aval::domain::application::Country;
use aval::domain::disbursement::rail::{PaymentStatus, Rail};
use aval::rails::simulator::Faults;

use super::*;

#[actix_rt::test]
async fn a_payment_that_was_accepted_but_not_answered_is_paid_once() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("95")).await;
    reaches(&app, &id, "COMPLETED").await;
    let events = history(&app, &id).await;
    assert_eq!(events[3..6], ["payment_started", "payment_unanswered", "payment_confirmed"]);
    let payment = only_payment(&app, Rail::Sepa);
    assert_eq!((payment.submissions, payment.inquiries), (1, 1));
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_payment_that_the_rail_never_got_is_sent_again_under_the_same_key() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("96")).await;
    reaches(&app, &id, "COMPLETED").await;
    let events = history(&app, &id).await;
    let expected = ["payment_started", "payment_unanswered", "payment_not_found", "payment_confirmed"];
    assert_eq!(events[3..7], expected);
    let key = app.sql("SELECT replace(payment_key::text, '-', '') FROM disbursements").await;
    assert_eq!(book(&app).payments(Rail::Sepa).keys().collect::<Vec<_>>(), [&key]);
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_payment_about_which_the_rail_cannot_tell_is_asked_for_and_not_sent_again() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("89")).await;
    eventually("some inquiries", async || {
        let payments = book(&app).payments(Rail::Sepa);
        payments.values().next().filter(|payment| payment.inquiries >= 3).map(|_| ())
    })
    .await;
    assert_eq!(only_payment(&app, Rail::Sepa).submissions, 1);
    reaches(&app, &id, "UNKNOWN").await;
    let key = book(&app).payments(Rail::Sepa).into_keys().next().unwrap();
    book(&app).decide(Rail::Sepa, &key, PaymentStatus::Settled);
    reaches(&app, &id, "COMPLETED").await;
    assert_eq!(only_payment(&app, Rail::Sepa).submissions, 1);
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn without_an_outcome_a_disbursement_is_stuck_until_two_people_resolve_it() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__STUCK_AFTER_MS", "100")]).await;
    for (outcome, state) in [("paid", "COMPLETED"), ("unpaid", "CANCELLED")] {
        let id = begin(&app, Country::Es, &spanish("89")).await;
        let stuck = reaches(&app, &id, "STUCK").await;
        assert_eq!((&stuck["stuck_in"], &stuck["reason"]), (&json!("UNKNOWN"), &json!("no_outcome")));
        assert_sound(&app).await;
        let body = json!({"outcome": outcome, "reason": "on the statement"});
        super::approving::act(&app, &id, "resolve", &body).await;
        let settled = reaches(&app, &id, state).await;
        assert_eq!(settled["approvals"][0]["action"], format!("resolve_{outcome}"));
        assert_sound(&app).await;
    }
}

#[actix_rt::test]
async fn a_worker_that_lost_its_lease_during_a_submission_changes_nothing_and_the_next_one_asks() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__CALL__CALL_TIMEOUT_MS", "5000")]).await;
    book(&app).set_faults(Rail::Sepa, Faults { latency_ms: 1000, ..Faults::default() });
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "SUBMITTING").await;
    eventually("a running submission", async || {
        let running = "SELECT count(*) FROM pending_jobs WHERE task_name = 'disbursement_step' AND lease_token IS NOT NULL";
        (app.sql(running).await == "1").then_some(())
    })
    .await;
    // As if the worker had died: another claim gets the job.
    app.execute(
        "UPDATE pending_jobs SET lease_token = NULL, leased_until = NULL, leased_by = NULL, status = 'pending', \
         run_at = now() WHERE task_name = 'disbursement_step'",
    )
    .await;
    reaches(&app, &id, "COMPLETED").await;
    let events = history(&app, &id).await;
    assert_eq!(events[3..5], ["payment_started", "payment_unanswered"], "{events:?}");
    assert_eq!(only_payment(&app, Rail::Sepa).submissions, 1);
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_late_payment_is_confirmed_by_asking() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("97")).await;
    reaches(&app, &id, "COMPLETED").await;
    let events = history(&app, &id).await;
    assert_eq!(events[3..6], ["payment_started", "payment_accepted", "payment_confirmed"]);
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_payment_that_comes_back_before_it_is_booked_releases_the_funds() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("98")).await;
    let returned = reaches(&app, &id, "RETURNED").await;
    let reversal = app.sql("SELECT id::text FROM disbursements WHERE reverses IS NOT NULL").await;
    let reversal = reaches(&app, &reversal, "COMPLETED").await;
    assert_eq!(reversal["reverses"], returned["disbursement_id"]);
    assert_eq!(spanish_pool(&app).await, ("1000000.00".to_owned(), "0.00".to_owned()));
    assert_eq!(app.sql("SELECT count(*) FROM ledger_entries WHERE kind <> 'deposit'").await, "0");
    // The application can be paid out again.
    let application = returned["application_id"].as_str().unwrap();
    let again = request(&app, application, &spanish("32")).await.expect(202);
    reaches(&app, again["disbursement_id"].as_str().unwrap(), "COMPLETED").await;
    assert_sound(&app).await;
}
