//! Random histories with faults, and one checker.

use std::collections::BTreeMap;

use aval::domain::application::Country;
use aval::domain::disbursement::rail::{PaymentStatus, Rail};
use aval::rails::simulator::Faults;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::support::app::TestApp;

/// The number of disbursements of one run.
const HISTORIES: usize = 20;

/// Makes one of several statements of every kind fail at random. What the statement's transaction did is rolled back, as if
/// the worker had died at that point.
const RANDOM_FAILURES: &str = "\
    CREATE FUNCTION fail_at_random() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF random() < 0.15 THEN RAISE EXCEPTION 'random failure'; END IF; RETURN NEW; END $$; \
    CREATE TRIGGER fail_events AFTER INSERT ON disbursement_events FOR EACH ROW \
        WHEN (NEW.sequence > 1 AND NEW.kind NOT IN ('step_failed', 'payment_unanswered', 'notification_failed')) EXECUTE FUNCTION fail_at_random(); \
    CREATE TRIGGER fail_reservations AFTER INSERT OR UPDATE ON funding_reservations FOR EACH ROW \
        EXECUTE FUNCTION fail_at_random(); \
    CREATE TRIGGER fail_ledger AFTER INSERT ON ledger_lines FOR EACH ROW \
        WHEN (NEW.amount < 500000) EXECUTE FUNCTION fail_at_random();";

const SCENARIOS: [&str; 10] = ["32", "89", "90", "92", "93", "95", "96", "97", "98", "32"];

/// Waits until a disbursement ended, or waits for a person.
async fn settled(app: &TestApp, id: &str) {
    eventually("the end of a disbursement", async || {
        let found = app.get(&format!("/api/v1/disbursements/{id}/status")).await.expect(200);
        (found["is_final"] == true || found["status"] == "STUCK").then_some(())
    })
    .await;
}

/// The rail paid exactly what the ledger says, and no key twice.
async fn assert_paid_as_booked(app: &TestApp) {
    let rows = app
        .sql(
            "SELECT coalesce(string_agg(replace(payment_key::text, '-', '') || ' ' || state, ','), '') FROM disbursements \
             WHERE payment_key IS NOT NULL AND reverses IS NULL",
        )
        .await;
    let states: BTreeMap<&str, &str> = rows.split(',').filter_map(|row| row.split_once(' ')).collect();
    for (key, payment) in book(app).payments(Rail::Sepa) {
        let state = states[key.as_str()];
        match payment.status {
            PaymentStatus::Settled => assert!(matches!(state, "COMPLETED" | "STUCK"), "{state}"),
            PaymentStatus::Rejected => assert!(matches!(state, "CANCELLED" | "STUCK"), "{state}"),
            PaymentStatus::Returned => assert!(matches!(state, "RETURNED" | "STUCK"), "{state}"),
            _ => assert_eq!(state, "STUCK"),
        }
    }
    for (key, state) in states.iter().filter(|(_, state)| **state == "COMPLETED") {
        assert_eq!(book(app).payments(Rail::Sepa)[*key].status, PaymentStatus::Settled, "{state}");
    }
}

#[actix_rt::test]
async fn random_failures_neither_lose_nor_double_money() {
    let seed: u64 = std::env::var("AVAL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = SmallRng::seed_from_u64(seed);
    let app = start_with(&[
        ("AVAL__DISBURSEMENTS__MAX_ATTEMPTS", "4"),
        ("AVAL__DISBURSEMENTS__STUCK_AFTER_MS", "3000"),
        ("AVAL__DISBURSEMENTS__CALL__CALL_TIMEOUT_MS", "300"),
        ("AVAL__DISBURSEMENTS__BREAKER__OPEN_MS", "50"),
    ])
    .await;
    let (mut applications, mut begun_ids) = (Vec::new(), Vec::new());
    for _ in 0..HISTORIES {
        applications.push(approved(&app, Country::Es).await);
    }
    script(&app, RANDOM_FAILURES).await;
    for application in &applications {
        let scenario = SCENARIOS[random.random_range(0..SCENARIOS.len())];
        if random.random_bool(0.3) {
            let (fail_next, hang_next) = (random.random_range(0..3), random.random_range(0..2));
            book(&app).set_faults(Rail::Sepa, Faults { fail_next, hang_next, latency_ms: 0 });
        }
        let begun = request(&app, application, &spanish(scenario)).await.expect(202);
        begun_ids.push(begun["disbursement_id"].as_str().unwrap().to_owned());
    }
    for id in &begun_ids {
        settled(&app, id).await;
    }
    eventually("the end of all reversals", async || {
        let open = "SELECT count(*) FROM disbursements WHERE state NOT IN ('COMPLETED', 'CANCELLED', 'RETURNED', 'STUCK')";
        (app.sql(open).await == "0").then_some(())
    })
    .await;
    assert_sound(&app).await;
    assert_paid_as_booked(&app).await;
}

#[actix_rt::test]
async fn the_checker_finds_a_missing_compensation() {
    let app = start().await;
    // The compensation ends without an effect.
    script(
        &app,
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER forget BEFORE UPDATE ON funding_reservations FOR EACH ROW EXECUTE FUNCTION forget()",
    )
    .await;
    let id = begin(&app, Country::Es, &spanish("92")).await;
    reaches(&app, &id, "CANCELLED").await;
    let resources = &app.engine().resources;
    let violations =
        aval::lending::disburse::rebuild::audit(&resources.database, &resources.logger).await.unwrap();
    assert_eq!(violations, [format!("a cancelled or returned disbursement holds nothing: {id}")]);
}
