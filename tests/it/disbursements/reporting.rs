//! Webhooks of rails.

use aval::domain::application::Country;
use aval::domain::disbursement::rail::Rail;

use super::*;
use crate::webhooks::{SECRET, key};

const PATH: &str = "/api/v1/webhooks/payment-report";

async fn report(app: &TestApp, id: &str, body: &Value) -> Answer {
    let (time, body) = (app.engine().resources.clock.now().timestamp(), body.to_string());
    let signature = key(SECRET).sign(id, time, body.as_bytes());
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", &time.to_string()),
        ("webhook-signature", &signature),
        ("content-type", "application/json"),
    ];
    app.send(Method::POST, PATH, &headers, body).await
}

async fn payment_key(app: &TestApp) -> String {
    app.sql("SELECT payment_key::text FROM disbursements WHERE reverses IS NULL ORDER BY id DESC LIMIT 1")
        .await
}

#[actix_rt::test]
async fn a_report_confirms_a_payment_before_the_rail_is_asked_and_a_repeated_one_changes_nothing() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__CONFIRMATION_PAUSE_MS", "3600000")]).await;
    let id = begin(&app, Country::Es, &spanish("97")).await;
    reaches(&app, &id, "SUBMITTED").await;
    let settled = json!({"payment_key": payment_key(&app).await, "status": "settled", "reference": "R-1"});
    let receipt = report(&app, "msg_1", &settled).await.expect(200);
    assert_eq!((&receipt["applied"], &receipt["status"]), (&json!(true), &json!("CONFIRMED")));
    assert_eq!(report(&app, "msg_1", &settled).await.expect(200)["duplicate"], true);
    let paid = reaches(&app, &id, "COMPLETED").await;
    assert_eq!(paid["rail_reference"], "R-1");
    assert_eq!(report(&app, "msg_2", &settled).await.expect(200)["applied"], false);
    assert_eq!(only_payment(&app, Rail::Sepa).inquiries, 0);
    let events = history(&app, &id).await;
    assert_eq!(events.iter().filter(|kind| *kind == "payment_confirmed").count(), 1);
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_payment_that_comes_back_after_it_was_booked_is_reversed_in_the_ledger() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "COMPLETED").await;
    let returned = json!({"payment_key": payment_key(&app).await, "status": "returned", "reason": "AC04"});
    for attempt in 0..2 {
        let receipt = report(&app, "msg_1", &returned).await.expect(200);
        assert_eq!(receipt["duplicate"], attempt == 1);
    }
    assert_eq!(reaches(&app, &id, "RETURNED").await["reason"], "AC04");
    let reversal = app.sql("SELECT id::text FROM disbursements WHERE reverses IS NOT NULL").await;
    reaches(&app, &reversal, "COMPLETED").await;
    assert_eq!(
        history(&app, &reversal).await,
        ["reversal_requested", "return_booked", "notification_skipped"]
    );
    assert_eq!(spanish_pool(&app).await, ("1000000.00".to_owned(), "0.00".to_owned()));
    let owed = "SELECT sum(amount) FROM ledger_lines WHERE account = 'loans'";
    assert_eq!(app.sql(owed).await, "0.00");
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn reports_that_are_not_signed_or_not_possible_are_refused() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__CONFIRMATION_PAUSE_MS", "3600000")]).await;
    let id = begin(&app, Country::Es, &spanish("92")).await;
    reaches(&app, &id, "CANCELLED").await;
    let settled = json!({"payment_key": payment_key(&app).await, "status": "settled"});
    app.post(PATH, &settled).await.expect(401);
    report(&app, "msg_1", &settled).await.expect(409);
    let unknown = json!({"payment_key": Uuid::new_v4(), "status": "settled"});
    report(&app, "msg_2", &unknown).await.expect(404);
    let wrong = json!({"payment_key": "7", "status": "paid", "amount": 1});
    assert_eq!(report(&app, "msg_3", &wrong).await.status, 422);
    assert_sound(&app).await;
}
