//! `GET /api/v1/admin/events/consumers` and `POST /api/v1/admin/events/consumers/{consumer}/replay`

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::operator;
use crate::accounts::ChangeOrigin;
use crate::error::Error;
use crate::events::consumers::operators::{self, ConsumerLag, PartitionState, Rewind};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::RequestContext;
use crate::http::problem::{HandlerResult, Rejection};
use crate::http::request::request_body;
use crate::http::request::values::{identifier, required_reason, whole};
use crate::json::boolean;

/// The name of a consumer from the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerPath(pub String);

impl FromRequest for ConsumerPath {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let name = identifier(request.match_info().query("consumer"));
        ready(name.map(Self).map_err(|_refusal| Error::NotFound("consumer").into()))
    }
}

/// A partition of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConsumerPartitionView {
    /// The number of the partition: the last hexadecimal digit of the subjects in it.
    #[schema(example = 7)]
    pub partition: i16,
    /// The offset up to which all events are handled or deferred.
    #[schema(example = 4711)]
    pub position: i64,
    /// The instance that handles the events of the partition; `null` if none does.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub owner: Option<String>,
}

/// A consumer of events.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConsumerView {
    /// The name of the consumer.
    #[schema(example = "webhooks")]
    pub name: String,
    /// Whether the responding instance's version has this consumer.
    pub registered: bool,
    /// The lowest position of its partitions.
    #[schema(example = 4711)]
    pub position: i64,
    /// Number of published events after the position, of all types.
    #[schema(example = 12)]
    pub pending: i64,
    /// Age of the oldest of these events in seconds; 0 if there is none.
    #[schema(example = 0.25)]
    pub lag_seconds: f64,
    /// Number of events that wait for another attempt or behind an earlier event of their subject, up to 10,000.
    #[schema(example = 0)]
    pub deferred: i64,
    /// How long the oldest of these events has been waiting, in seconds; 0 if there is none.
    #[schema(example = 0.0)]
    pub oldest_deferred_seconds: f64,
    /// Number of dead letters, up to 10,000.
    #[schema(example = 0)]
    pub dead_letters: i64,
    /// The partitions of the consumer.
    pub partitions: Vec<ConsumerPartitionView>,
}

/// The consumers of events.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConsumerList {
    /// All consumers, including those of other versions.
    pub consumers: Vec<ConsumerView>,
}

/// Lists the consumers of events: how far they are behind, and which instance handles each partition.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/consumers",
    operation_id = "list_consumers",
    tag = "events",
    responses((status = 200, description = "All consumers", body = ConsumerList)),
)]
pub(in crate::http) async fn list(state: HttpState) -> HandlerResult {
    let (lags, partitions) = operators::overview(&state.resources).await?;
    let is_registered = |name: &str| state.consumers.iter().any(|consumer| consumer.name() == name);
    let consumers =
        lags.into_iter().map(|lag| view(is_registered(&lag.consumer), lag, &partitions)).collect();
    Ok(HttpResponse::Ok().json(ConsumerList { consumers }))
}

fn view(registered: bool, lag: ConsumerLag, partitions: &[PartitionState]) -> ConsumerView {
    let own = partitions.iter().filter(|state| state.consumer == lag.consumer);
    let partitions = own.map(|state| ConsumerPartitionView {
        partition: state.partition,
        position: state.position,
        owner: state.owner.clone(),
    });
    ConsumerView {
        registered,
        position: lag.position,
        pending: lag.pending,
        lag_seconds: lag.lag.as_secs_f64(),
        deferred: lag.deferred,
        oldest_deferred_seconds: lag.oldest_deferred.as_secs_f64(),
        dead_letters: lag.dead_letters,
        partitions: partitions.collect(),
        name: lag.consumer,
    }
}

request_body! {
    /// A replay of a consumer.
    pub struct ReplayConsumerRequest {
        /// The offset of the first event to handle again.
        #[schema(minimum = 1, example = 4000)]
        from_offset: i64 = required(whole(1..=i64::MAX)),
        /// The reason, which is recorded as a security event.
        #[schema(min_length = 1, max_length = 500, example = "The effects of a defect must be repeated")]
        reason: String = required(required_reason),
        /// If `true`, nothing is changed; the response shows what the request would do.
        #[schema(example = true)]
        dry_run: Option<bool> = optional(boolean),
    }
}

/// The result of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplayConsumerView {
    /// Number of published events from the offset on, of all types.
    #[schema(example = 711)]
    pub events: i64,
    /// Number of events that the consumer had handled and handles again; `null` in a dry run.
    #[schema(example = 700)]
    pub handled: Option<usize>,
    /// Whether the request was a dry run, which changes nothing.
    #[schema(example = false)]
    pub dry_run: bool,
}

/// Makes a consumer handle all events from an offset on again.
///
/// The effects of these events happen again. Dead letters and deferred events from the offset on are removed, because their
/// events are handled again. Positions that are before the offset stay unchanged.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/consumers/{consumer}/replay",
    operation_id = "replay_consumer",
    tag = "events",
    params(("consumer" = String, Path, description = "Name of the consumer")),
    request_body(
        content = ReplayConsumerRequest,
        example = json!({"from_offset": 4000, "reason": "The effects of a defect must be repeated", "dry_run": true}),
    ),
    responses(
        (status = 200, description = "The result", body = ReplayConsumerView),
        (status = 404, description = "Consumer not found"),
        (status = 409, description = "No event with this offset has been published"),
        (status = 410, description = "The event with this offset has expired"),
    ),
)]
pub(in crate::http) async fn replay(
    state: HttpState,
    origin: ChangeOrigin,
    context: RequestContext,
    ConsumerPath(consumer): ConsumerPath,
    body: JsonObject,
) -> HandlerResult {
    let ReplayConsumerRequest { from_offset, reason, dry_run } =
        ReplayConsumerRequest::read(body.members()?)?;
    let wanted = Rewind { consumer, from_offset, dry_run: dry_run.unwrap_or(false) };
    let operator = operator(&origin, &context, reason);
    let done = operators::replay_consumer(&state.resources, &wanted, &operator).await?;
    Ok(HttpResponse::Ok().json(ReplayConsumerView {
        events: done.events,
        handled: done.handled,
        dry_run: wanted.dry_run,
    }))
}
