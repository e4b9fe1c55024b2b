//! `GET /api/v1/events`

use std::time::Duration;

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::event_type;
use crate::domain::account::{Role, Scope};
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::consumers::type_filter::TypeFilter;
use crate::events::envelope::{Envelope, SOURCE};
use crate::events::feed::{FeedPage, FeedQuery, StartAfter};
use crate::events::registry::Audience;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{digits, uuid};
use crate::json::Refusal;

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;
/// Maximum time to wait, in seconds. It is below the default time limit of requests.
const MAX_WAIT_SECONDS: i64 = 10;
/// The value of `after` that skips all published events.
const END: &str = "end";
/// The maximum number of types in the filter.
const MAX_TYPES: usize = 50;

request_query! {
    /// Position and filters of the feed.
    pub struct FeedParameters {
        /// `next` of the previous response, or `end` for events that are published from now on. By default, the feed starts
        /// with the oldest event that is available.
        #[param(value_type = Option<String>, example = "end")]
        after: Option<StartAfter> = start_after,
        /// Types separated by commas. `application.*` stands for all types that begin with `application.`
        #[param(value_type = Option<String>, example = "application.status_changed.v1,review.*")]
        types: Option<TypeFilter> = types,
        /// The subject: the identifier of the application, account or API key.
        subject: Option<Uuid> = uuid,
        /// Maximum number of events; the default is 100.
        #[param(minimum = 1, maximum = 1000, example = 100)]
        limit: Option<i64> = limit,
        /// How long to wait for an event if there is none, in seconds; the default is not to wait.
        #[param(minimum = 1, maximum = 10, example = 10)]
        wait: Option<i64> = wait,
    }
}

/// A published event in the form of CloudEvents 1.0.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventView {
    /// The version of CloudEvents.
    #[schema(example = "1.0")]
    pub specversion: &'static str,
    /// The identifier, the same for every delivery.
    pub id: Uuid,
    /// The system that published the event.
    #[schema(example = "/aval")]
    pub source: &'static str,
    /// The type with its version. New versions may add types.
    #[serde(rename = "type")]
    #[schema(example = "application.status_changed.v1")]
    pub event_type: String,
    /// The identifier of what changed.
    pub subject: Uuid,
    /// When the event was written.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub time: DateTime<Utc>,
    /// The media type of `data`.
    #[schema(example = "application/json")]
    pub datacontenttype: &'static str,
    /// The sequence that the offset belongs to.
    pub epoch: Uuid,
    /// The offset in the sequence.
    #[schema(example = "42")]
    pub sequence: String,
    /// The request that caused the event, if known.
    pub requestid: Option<String>,
    /// The trace context of that request, if known.
    pub traceparent: Option<String>,
    /// The data, whose members depend on the type. It contains no personal data.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// Events after a position.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FeedView {
    /// The events in order.
    pub events: Vec<EventView>,
    /// The value of `after` for the next request. It also moves past events that the filters exclude.
    #[schema(example = "0b0e9d4c-6a0d-4c41-8f5a-6a1f6f3b8a11:42")]
    pub next: String,
    /// Whether more events may already be available after `next`.
    pub more: bool,
}

/// Returns published events in order.
///
/// Send `next` of each response as `after` of the next request. With `wait`, the response is delayed until an event is
/// published. Analysts get the events of applications and reviews, admins all events; API keys also need the scope
/// `operations:read` for the events of accounts, keys and circuit breakers. If events after the position have expired, or
/// the sequence has started again after a failover, the response is a 410.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "list_events",
    tag = "events",
    params(FeedParameters),
    responses(
        (status = 200, description = "Events after the position", body = FeedView),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 410, description = "Events after the position have expired"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn feed(state: HttpState, principal: Principal, mut query: Query) -> HandlerResult {
    let sent = FeedParameters::take(&mut query);
    query.finish()?;
    let longest_wait = state.resources.settings.server.request_timeout() / 2;
    let wanted = FeedQuery {
        after: sent.after.unwrap_or(StartAfter::Beginning),
        types: sent.types.unwrap_or_default(),
        subject: sent.subject,
        audiences: audiences(&principal),
        limit: usize::try_from(sent.limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX),
        wait: Duration::from_secs(sent.wait.unwrap_or(0).unsigned_abs()).min(longest_wait),
    };
    let FeedPage { events, next, more } = state.feed.read(&wanted).await?;
    let events: Result<Vec<EventView>> = events.iter().map(|event| view(event, next.epoch)).collect();
    let Position { epoch, offset } = next;
    Ok(HttpResponse::Ok().json(FeedView { events: events?, next: format!("{epoch}:{offset}"), more }))
}

/// The audiences that an account with the scope of the feed belongs to.
fn audiences(principal: &Principal) -> Vec<Audience> {
    let mut audiences = vec![Audience::Owner, Audience::Staff];
    if principal.role == Role::Admin && principal.has_scope(Scope::OperationsRead) {
        audiences.push(Audience::Operations);
    }
    audiences
}

fn view(event: &Envelope, epoch: Uuid) -> Result<EventView> {
    let mut data: Value = serde_json::from_str(event.json().get()).map_err(Error::internal)?;
    // The name of the owner only determines who may see the event.
    if let Some(members) = data.as_object_mut() {
        members.remove("created_by");
    }
    Ok(EventView {
        specversion: "1.0",
        id: event.id.as_uuid(),
        source: SOURCE,
        event_type: event.event_type.clone(),
        subject: event.subject,
        time: event.time,
        datacontenttype: "application/json",
        epoch,
        sequence: event.offset.to_string(),
        requestid: event.request_id.as_ref().map(ToString::to_string),
        traceparent: event.traceparent.clone(),
        data,
    })
}

fn start_after(text: &str) -> Result<StartAfter, Refusal> {
    if text == END {
        return Ok(StartAfter::End);
    }
    let refusal = || ("bad_cursor", "must be next of an earlier response, or end".to_owned());
    let (epoch, offset) = text.split_once(':').ok_or_else(refusal)?;
    let position = Position {
        epoch: Uuid::try_parse(epoch).ok().ok_or_else(refusal)?,
        offset: offset.parse().ok().filter(|offset| *offset >= 0).ok_or_else(refusal)?,
    };
    Ok(StartAfter::Position(position))
}

fn types(text: &str) -> Result<TypeFilter, Refusal> {
    let patterns: Vec<&str> = text.split(',').collect();
    if patterns.len() > MAX_TYPES {
        return Err(("too_many", format!("must be at most {MAX_TYPES} types")));
    }
    for pattern in &patterns {
        match pattern.strip_suffix(".*") {
            // A family is checked as the name of one of its types.
            Some(family) => event_type(&format!("{family}.any")).map(drop)?,
            None => event_type(pattern).map(drop)?,
        }
    }
    Ok(TypeFilter::of(patterns))
}

fn limit(text: &str) -> Result<i64, Refusal> {
    digits(text, MAX_LIMIT)
}

fn wait(text: &str) -> Result<i64, Refusal> {
    digits(text, MAX_WAIT_SECONDS)
}
