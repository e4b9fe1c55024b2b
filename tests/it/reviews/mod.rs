//! Applications under review: the queue, assignments, and changes of many applications.

mod assignment;
mod bulk_status;
mod queue;

use aval::domain::application::Country;
use serde_json::{Value, json};

use crate::support::accounts::Caller;
use crate::support::app::TestApp;
use crate::support::builders::{body, samples};

/// Lets tests submit any number of applications for the same document.
const NO_DUPLICATE_RULE: (&str, &str) = ("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "0");

const QUEUE: &str = "/api/v1/reviews";
const NEXT: &str = "/api/v1/reviews/next";

async fn start() -> TestApp {
    TestApp::start_idle_with(&[NO_DUPLICATE_RULE]).await
}

/// Creates an application with the status `PENDING`.
async fn pending(app: &TestApp, country: Country) -> String {
    let document = samples().into_iter().find(|(of, _)| *of == country).unwrap().1;
    app.submit(&body(country, document)).await
}

/// Creates an application under review.
async fn under_review(app: &TestApp, country: Country) -> String {
    let id = pending(app, country).await;
    for status in ["VALIDATING", "UNDER_REVIEW"] {
        app.execute(&format!("UPDATE applications SET status = '{status}' WHERE id = '{id}'")).await;
    }
    id
}

/// Creates a second analyst.
async fn colleague(app: &TestApp) -> Caller<'_> {
    let account =
        json!({"username": "second-analyst", "role": "analyst", "password": "a very long passphrase"});
    app.post("/api/v1/users", &account).await.expect(201);
    app.acting_as("second-analyst").await
}

fn assignment(id: &str) -> String {
    format!("/api/v1/applications/{id}/assignment")
}

fn status(id: &str) -> String {
    format!("/api/v1/applications/{id}/status")
}

/// The identifiers of a page of the queue.
async fn queue(caller: &Caller<'_>, query: &str) -> Vec<String> {
    let page = caller.get(&format!("{QUEUE}?{query}")).await.expect(200);
    page["items"].as_array().unwrap().iter().map(application_id).collect()
}

fn application_id(review: &Value) -> String {
    review["application"]["id"].as_str().unwrap().to_owned()
}
