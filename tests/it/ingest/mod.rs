//! Event ingestion.

mod bad_input;
mod crash;
mod dead_letters;
mod limits;
mod reading;
mod retention;
mod stalled;
mod storing;

use actix_web::http::Method;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};

pub(super) const EVENTS: &str = "/api/v1/ingest/events";

/// The current time, shifted by some seconds, as events have it.
fn at(offset_seconds: i64) -> String {
    let time: DateTime<Utc> = aval::clock::Clock::system().now() + TimeDelta::seconds(offset_seconds);
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An event that happened at `time`.
fn event(user: &str, id: &str, time: &str) -> Value {
    json!({"id": id, "user_id": user, "type": "page.viewed", "occurred_at": time, "properties": {"page": "/apply"}})
}

fn many(events: &[Value]) -> Value {
    json!({ "events": events })
}

/// The counts of a receipt: accepted, duplicates, conflicts, rejected.
fn counts(receipt: &Value) -> (u64, u64, u64, usize) {
    let count = |name: &str| receipt[name].as_u64().unwrap();
    (
        count("accepted"),
        count("duplicates"),
        count("conflicts"),
        receipt["rejected"].as_array().unwrap().len(),
    )
}

/// Creates an API key with a role and scopes.
async fn key(app: &TestApp, name: &str, role: &str, scopes: &[&str]) -> String {
    let body = json!({"name": name, "role": role, "scopes": scopes});
    let created = app.post("/api/v1/api-keys", &body).await.expect(201);
    created["key"].as_str().unwrap().to_owned()
}

/// Sends a body with these headers.
async fn send(app: &TestApp, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Answer {
    app.send(Method::POST, EVENTS, headers, body).await
}

/// The number of stored events.
async fn stored(app: &TestApp) -> String {
    app.sql("SELECT count(*) FROM ingested_events").await
}
