//! `GET /api/v1/ingest/events`

use actix_web::HttpResponse;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::error::{Error, Result};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::values::{any_text, check_period, digits, period_end, period_start};
use crate::http::{HttpState, cursor};
use crate::ingest::event::{MAX_AHEAD, check_identifier, check_type};
use crate::ingest::{EventListFilter, IngestedEvent};
use crate::json::Refusal;
use crate::storage::seal::KeyRing;

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;
/// The length of the period if the request does not set its start.
const DEFAULT_PERIOD: TimeDelta = TimeDelta::days(7);

/// Filters and page of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct IngestedEventParameters {
    /// The user that the events are about.
    #[param(min_length = 1, max_length = 64, example = "customer-4711")]
    user_id: String,
    /// The type of the events.
    #[param(rename = "type", min_length = 1, max_length = 64, example = "application.step_completed")]
    event_type: Option<String>,
    /// Happened at or after this RFC 3339 time, or on or after this date (UTC); the default is 7 days before `to`.
    #[param(value_type = Option<String>, example = "2026-01-01")]
    from: Option<DateTime<Utc>>,
    /// Happened before this RFC 3339 time, or on or before this date (UTC); the default is now.
    #[param(value_type = Option<String>, example = "2026-01-31")]
    to: Option<DateTime<Utc>>,
    /// The maximum number of events; the default is 100.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page, with the same filters.
    cursor: Option<String>,
}

impl IngestedEventParameters {
    fn take(query: &mut Query) -> Self {
        let user_id = query.take("user_id", identifier);
        if !query.was_sent("user_id") {
            query.refuse("user_id", "required", "is required");
        }
        Self {
            user_id: user_id.unwrap_or_default(),
            event_type: query.take("type", event_type),
            from: query.take("from", period_start),
            to: query.take("to", period_end),
            limit: query.take("limit", limit),
            cursor: query.take("cursor", any_text),
        }
    }
}

fn identifier(text: &str) -> Result<String, Refusal> {
    check_identifier(text).map(|()| text.to_owned())
}

fn event_type(text: &str) -> Result<String, Refusal> {
    check_type(text).map(|()| text.to_owned())
}

fn limit(text: &str) -> Result<i64, Refusal> {
    digits(text, MAX_LIMIT)
}

/// A stored event.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestedEventView {
    /// The identifier.
    #[schema(example = "0198c2f1")]
    pub id: String,
    /// The user that the event is about.
    #[schema(example = "customer-4711")]
    pub user_id: String,
    /// The type.
    #[serde(rename = "type")]
    #[schema(example = "application.step_completed")]
    pub event_type: String,
    /// When it happened.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub occurred_at: DateTime<Utc>,
    /// When it was stored.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub received_at: DateTime<Utc>,
    /// The properties, as they were sent.
    #[schema(value_type = Object)]
    pub properties: Box<RawValue>,
}

impl IngestedEventView {
    fn new(user_id: &str, event: IngestedEvent) -> Result<Self> {
        Ok(Self {
            id: event.id,
            user_id: user_id.to_owned(),
            event_type: event.event_type,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            properties: RawValue::from_string(event.properties).map_err(Error::internal)?,
        })
    }
}

/// A page of a user's events.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestedEventPage {
    /// The events, newest first.
    pub events: Vec<IngestedEventView>,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
}

/// A requested page.
struct Wanted {
    filter: EventListFilter,
    /// The name of the list in cursors.
    list: String,
    after: Option<(DateTime<Utc>, String)>,
    limit: i64,
}

/// Lists the ingested events of a user, newest first.
///
/// The events of one user and day are stored together, so short periods are read fastest.
#[utoipa::path(
    get,
    path = "/api/v1/ingest/events",
    operation_id = "list_ingested_events",
    tag = "ingest",
    params(IngestedEventParameters),
    responses(
        (status = 200, description = "A page of the list", body = IngestedEventPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let wanted = read(query, keys, state.ingest.now())?;
    let mut found = state.ingest.list(&wanted.filter, wanted.after.as_ref(), wanted.limit + 1).await?;
    let size = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| has_more);
    let next_cursor =
        last.map(|event| cursor::encode_with_text(keys, event.occurred_at, &event.id, &wanted.list));
    let view = |event| IngestedEventView::new(&wanted.filter.user_id, event);
    let events: Result<Vec<IngestedEventView>> = found.into_iter().map(view).collect();
    Ok(HttpResponse::Ok().json(IngestedEventPage { events: events?, next_cursor }))
}

fn read(mut query: Query, keys: &KeyRing, now: DateTime<Utc>) -> Result<Wanted> {
    let sent = IngestedEventParameters::take(&mut query);
    query.check("to", check_period(sent.from, sent.to));
    let list = format!("events of {:?} {:?} {:?} {:?}", sent.user_id, sent.event_type, sent.from, sent.to);
    let refusal = || ("bad_cursor", "is not a next_cursor of this list".to_owned());
    let start = |text: String| cursor::decode_with_text(keys, &text, &list).ok_or_else(refusal);
    let after = sent.cursor.and_then(|text| query.check("cursor", start(text)));
    query.finish()?;
    let until = sent.to.unwrap_or(now + MAX_AHEAD + TimeDelta::seconds(1));
    let filter = EventListFilter {
        user_id: sent.user_id,
        event_type: sent.event_type,
        from: sent.from.unwrap_or(until - DEFAULT_PERIOD),
        until,
    };
    Ok(Wanted { filter, list, after, limit: sent.limit.unwrap_or(DEFAULT_LIMIT) })
}
