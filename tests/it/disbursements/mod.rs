//! Disbursements: approved applications are paid out, once, whatever fails.

mod approving;
mod failing;
mod histories;
mod paying;
mod reporting;
mod steps;
mod unanswered;

use actix_web::http::Method;
use aval::domain::application::Country;
use aval::domain::disbursement::rail::Rail;
use aval::lending::disburse::rebuild::{Comparison, audit, rebuild};
use aval::rails::simulator::{Book, SimulatedPayment};
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::accounts::Caller;
use crate::support::app::{Answer, TestApp};
use crate::support::builders::{body, samples};
use crate::support::eventually;

/// Settings that ask rails and repeat steps quickly.
const QUICK_RAILS: [(&str, &str); 6] = [
    ("AVAL__JOBS__POLL_INTERVAL_MS", "50"),
    ("AVAL__DISBURSEMENTS__INQUIRY_PAUSE_MS", "20"),
    ("AVAL__DISBURSEMENTS__CONFIRMATION_PAUSE_MS", "20"),
    ("AVAL__DISBURSEMENTS__RETRY_BACKOFF_MS", "5"),
    ("AVAL__DISBURSEMENTS__RETRY_BACKOFF_MAX_MS", "20"),
    ("AVAL__DISBURSEMENTS__CALL__CALL_TIMEOUT_MS", "1000"),
];

/// The name of every applicant, and of the holders of their accounts.
const HOLDER: &str = "Ana García López";

/// A Spanish IBAN that ends in `tail`.
fn iban(tail: &str) -> String {
    let account = format!("210004184502000513{tail}");
    // `ES` counts as 1428, and the check digits as 00.
    let rest = format!("{account}142800")
        .bytes()
        .fold(0_u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    format!("ES{:02}{account}", 98 - rest)
}

/// A destination of the country's rail.
fn destination(country: Country, value: &str) -> Value {
    let kind = Rail::of(country).destination().as_str();
    json!({"destination": {"kind": kind, "value": value, "holder_name": HOLDER}})
}

fn spanish(tail: &str) -> Value {
    destination(Country::Es, &iban(tail))
}

async fn start() -> TestApp {
    start_with(&[]).await
}

async fn start_with(overrides: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start(&[&QUICK_RAILS, overrides].concat()).await;
    fund(&app, "ES", "1000000.00").await;
    app
}

async fn fund(app: &TestApp, country: &str, amount: &str) {
    let path = format!("/api/v1/admin/funding-pools/{country}/deposits");
    keyed(&app.admin(), &path, &json!({"amount": amount})).await.expect(201);
}

/// Posts with a new idempotency key.
async fn keyed(caller: &Caller<'_>, path: &str, body: &Value) -> Answer {
    let key = Uuid::new_v4().to_string();
    let headers = [("Idempotency-Key", key.as_str()), ("Content-Type", "application/json")];
    caller.send(Method::POST, path, &headers, body.to_string()).await
}

/// The identifier of a new application that was approved.
async fn approved(app: &TestApp, country: Country) -> String {
    let document = samples().into_iter().find(|(of, _)| *of == country).unwrap().1;
    let id = app.submit(&body(country, document)).await;
    app.reaches(&id, "APPROVED").await;
    id
}

async fn request(app: &TestApp, application: &str, destination: &Value) -> Answer {
    keyed(&app.admin(), &format!("/api/v1/applications/{application}/disbursements"), destination).await
}

/// Begins the disbursement of a new approved application and returns its identifier.
async fn begin(app: &TestApp, country: Country, destination: &Value) -> String {
    let application = approved(app, country).await;
    let begun = request(app, &application, destination).await.expect(202);
    begun["disbursement_id"].as_str().unwrap().to_owned()
}

/// Waits until a disbursement has a state.
async fn reaches(app: &TestApp, id: &str, state: &str) -> Value {
    eventually(&format!("the state {state}"), async || {
        let found = app.get(&format!("/api/v1/disbursements/{id}")).await.expect(200);
        (found["status"] == state).then_some(found)
    })
    .await
}

/// The kinds of the events of a disbursement.
async fn history(app: &TestApp, id: &str) -> Vec<String> {
    let found = app.get(&format!("/api/v1/disbursements/{id}/events")).await.expect(200);
    let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
    found["events"].as_array().unwrap().iter().map(kind).collect()
}

fn book(app: &TestApp) -> &Book {
    app.engine().rail_simulator.as_ref().unwrap().book()
}

/// The only payment of a rail.
fn only_payment(app: &TestApp, rail: Rail) -> SimulatedPayment {
    let payments = book(app).payments(rail);
    assert_eq!(payments.len(), 1, "{payments:?}");
    payments.into_values().next().unwrap()
}

/// Checks pools, ledger and disbursements, and that the projection is what the events result in.
async fn assert_sound(app: &TestApp) {
    let resources = &app.engine().resources;
    let violations = audit(&resources.database, &resources.logger).await.unwrap();
    assert!(violations.is_empty(), "{violations:#?}");
    let Comparison { different, .. } = rebuild(&resources.database, &resources.logger, false).await.unwrap();
    assert_eq!(different, 0);
}

/// Runs several statements.
async fn script(app: &TestApp, sql: &str) {
    app.database.connect().await.batch_execute(sql).await.unwrap();
}

/// The pool of Spain: available and reserved.
async fn spanish_pool(app: &TestApp) -> (String, String) {
    let pools = app.get("/api/v1/admin/funding-pools").await.expect(200);
    let pool =
        pools["pools"].as_array().unwrap().iter().find(|pool| pool["country"] == "ES").unwrap().clone();
    let amount = |name: &str| pool[name].as_str().unwrap().to_owned();
    (amount("available"), amount("reserved"))
}
