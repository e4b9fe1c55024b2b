//! `POST /api/v1/ingest/events`

use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::IngestBody;
use crate::error::Result;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;
use crate::http::{HttpServerState, HttpState, limits};
use crate::ingest::Receipt;
use crate::ingest::batch::Batch;
use crate::ingest::event::RejectedEvent;

/// An event of a client.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "id": "0198c2f1", "user_id": "customer-4711", "type": "application.step_completed",
    "occurred_at": "2026-01-31T12:00:00.123Z", "properties": {"step": 2, "device": "ios"},
}))]
#[expect(dead_code, reason = "only its schema is used; events are read without building a tree")]
pub struct IngestEvent {
    /// The identifier, unique for a user and time. Send a repeated event with the same one.
    #[schema(min_length = 1, max_length = 64)]
    id: String,
    /// The user of the client's system that the event is about.
    #[schema(min_length = 1, max_length = 64)]
    user_id: String,
    /// The type: ASCII letters, digits and `._-:/`.
    #[schema(rename = "type", min_length = 1, max_length = 64)]
    event_type: String,
    /// When it happened: within the last 7 days and at most 5 minutes ahead. Truncated to microseconds.
    occurred_at: DateTime<Utc>,
    /// Any object of at most 8 KiB, without the character NUL.
    #[schema(value_type = Object)]
    properties: Value,
}

/// Several events.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used; events are read without building a tree")]
pub struct IngestEvents {
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<IngestEvent>,
}

/// One event, or several.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum IngestRequest {
    One(IngestEvent),
    Many(IngestEvents),
}

/// An event that is not valid.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedEventView {
    /// The position of the event in the request, counted from 0.
    #[schema(example = 3)]
    pub index: usize,
    /// The code of the error.
    #[schema(example = "too_old")]
    pub code: &'static str,
    /// What is wrong.
    #[schema(example = "occurred_at must be at most 7 days ago")]
    pub detail: String,
}

impl From<&RejectedEvent> for RejectedEventView {
    fn from(event: &RejectedEvent) -> Self {
        Self { index: event.index, code: event.code, detail: event.detail() }
    }
}

/// What happened to the events of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestReceiptView {
    /// The number of events that were stored.
    #[schema(example = 98)]
    pub accepted: usize,
    /// The number of events that were stored before, by this or an earlier request.
    #[schema(example = 1)]
    pub duplicates: usize,
    /// The number of events with the user, time and identifier of a stored event, but another type or other properties. The
    /// stored event is unchanged.
    #[schema(example = 0)]
    pub conflicts: usize,
    /// The events that are not valid.
    pub rejected: Vec<RejectedEventView>,
}

impl From<&Receipt> for IngestReceiptView {
    fn from(receipt: &Receipt) -> Self {
        Self {
            accepted: receipt.accepted,
            duplicates: receipt.duplicates,
            conflicts: receipt.conflicts,
            rejected: receipt.rejected.iter().map(RejectedEventView::from).collect(),
        }
    }
}

/// Stores events of the client.
///
/// The body is one event, `{"events": […]}`, or NDJSON, with at most 1,000 events and 2 MiB. It may be compressed with gzip;
/// the limit then applies to both sizes. A 200 means that the counted events are durable. Valid events are stored even if
/// others are rejected; a request without a valid event gets a 422 whose pointers name the index of each event. After any
/// other response, or none, send the same events again: stored ones are recognized by `user_id`, `occurred_at` and `id`.
///
/// The rate limit of the account or API key counts events.
#[utoipa::path(
    post,
    path = "/api/v1/ingest/events",
    operation_id = "ingest_events",
    tag = "ingest",
    request_body(
        description = "The events",
        content(
            (IngestRequest = "application/json"),
            (String = "application/x-ndjson", example = json!("{\"id\":\"1\",\"user_id\":\"u\",\"type\":\"t\",\"occurred_at\":\"2026-01-31T12:00:00Z\",\"properties\":{}}\n")),
        ),
    ),
    responses(
        (status = 200, description = "The events were stored, are already stored, or are not valid", body = IngestReceiptView),
        (status = 400, description = "The body is not JSON or not gzip; `detail` names the index of an event in NDJSON"),
        (status = 413, description = "The body exceeds 2 MiB, before or after it was decompressed"),
        (status = 415, description = "The body is neither JSON nor NDJSON in UTF-8, or its coding is not gzip"),
        (status = 422, description = "No event is valid, or there are none or too many"),
        (status = 429, description = "The events exceed the limit of the account; none was stored"),
    ),
)]
pub(in crate::http) async fn receive(
    state: HttpState,
    server_state: HttpServerState,
    principal: Principal,
    request: HttpRequest,
    body: IngestBody,
) -> HandlerResult {
    let batch = read(&state, &body)?;
    limits::check_events(&request, &server_state, &principal, batch.len()).await?;
    let refusal = batch.refusal();
    let receipt = state.ingest.store(&principal.account, batch, body.reservation).await?;
    match refusal {
        Some(refusal) => Err(refusal.into()),
        None => Ok(HttpResponse::Ok().json(IngestReceiptView::from(&receipt))),
    }
}

fn read(state: &HttpState, body: &IngestBody) -> Result<Batch> {
    Batch::read(&body.bytes, body.format, state.ingest.now())
}
