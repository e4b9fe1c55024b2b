//! `GET /api/v1/ingest/stats`

use std::time::Duration;

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::HttpState;
use crate::http::problem::HandlerResult;
use crate::ingest::statistics::{EventCounts, IngestFigures};

/// Numbers of events by result.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventCountsView {
    /// Stored events.
    #[schema(example = 60000)]
    pub accepted: u64,
    /// Events that were already stored.
    #[schema(example = 12)]
    pub duplicates: u64,
    /// Events whose key belongs to another stored event.
    #[schema(example = 0)]
    pub conflicts: u64,
    /// Events that are not valid.
    #[schema(example = 3)]
    pub rejected: u64,
}

impl From<EventCounts> for EventCountsView {
    fn from(counts: EventCounts) -> Self {
        let EventCounts { accepted, duplicates, conflicts, rejected } = counts;
        Self { accepted, duplicates, conflicts, rejected }
    }
}

/// The events of an account or a type.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedCountsView {
    /// The name of the account or type; `(other)` stands for all that are not listed.
    #[schema(example = "key:shop")]
    pub name: String,
    #[serde(flatten)]
    pub counts: EventCountsView,
}

impl From<(String, EventCounts)> for NamedCountsView {
    fn from((name, counts): (String, EventCounts)) -> Self {
        Self { name, counts: counts.into() }
    }
}

/// The time from the end of a request's body until its events were durable, in milliseconds. At most an eighth too high.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestLatencyView {
    /// The median.
    #[schema(example = 4.6)]
    pub p50_ms: f64,
    /// The 90th percentile.
    #[schema(example = 9.2)]
    pub p90_ms: f64,
    /// The 99th percentile.
    #[schema(example = 20.5)]
    pub p99_ms: f64,
}

/// What this instance received in the last minute.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestStatsView {
    /// The instance that answered. Other instances have their own figures.
    #[schema(example = "aval-0")]
    pub instance: String,
    /// The length of the period, in seconds; shorter than a minute after the start.
    #[schema(example = 60.0)]
    pub seconds: f64,
    /// The number of requests.
    #[schema(example = 600)]
    pub requests: u64,
    /// Accepted events per second.
    #[schema(example = 1000.0)]
    pub events_per_second: f64,
    /// All events.
    pub events: EventCountsView,
    /// The latency of requests; `null` without requests.
    pub latency: Option<IngestLatencyView>,
    /// Events that wait to be stored.
    #[schema(example = 0)]
    pub queued_events: i64,
    /// The accounts and API keys with the most events.
    pub by_account: Vec<NamedCountsView>,
    /// The types with the most events. Rejected events have no type.
    pub by_type: Vec<NamedCountsView>,
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl IngestStatsView {
    fn new(instance: &str, queued_events: i64, figures: IngestFigures) -> Self {
        let latency = figures.latencies.map(|[p50, p90, p99]| IngestLatencyView {
            p50_ms: milliseconds(p50),
            p90_ms: milliseconds(p90),
            p99_ms: milliseconds(p99),
        });
        Self {
            instance: instance.to_owned(),
            seconds: figures.seconds,
            requests: figures.requests,
            events_per_second: figures.counts.accepted as f64 / figures.seconds.max(1.0),
            events: figures.counts.into(),
            latency,
            queued_events,
            by_account: figures.accounts.into_iter().map(NamedCountsView::from).collect(),
            by_type: figures.types.into_iter().map(NamedCountsView::from).collect(),
        }
    }
}

/// Returns what this instance received in the last minute.
#[utoipa::path(
    get,
    path = "/api/v1/ingest/stats",
    operation_id = "get_ingest_stats",
    tag = "ingest",
    responses((status = 200, description = "The figures", body = IngestStatsView)),
)]
pub(in crate::http) async fn get(state: HttpState) -> HandlerResult {
    let queued = state.resources.metrics.ingest_queue_events.get();
    let view = IngestStatsView::new(&state.resources.instance, queued, state.ingest.figures());
    Ok(HttpResponse::Ok().json(view))
}
