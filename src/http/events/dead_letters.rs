//! `GET /api/v1/admin/events/dead-letters` and `/api/v1/admin/events/dead-letters/{id}`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::event_type;
use crate::error::Result;
use crate::events::consumers::operators::{self, EventDeadLetter, EventDeadLetterFilter};
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, check_period, identifier, period_end, period_start, uuid};
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct EventDeadLetterParameters {
        /// The name of the consumer.
        #[param(example = "webhooks")]
        consumer: Option<String> = identifier,
        /// The type of the event.
        #[param(example = "application.status_changed.v1")]
        event_type: Option<String> = event_type,
        /// The subject of the event.
        subject: Option<Uuid> = uuid,
        /// The code of the last error.
        #[param(example = "panicked")]
        error_type: Option<String> = identifier,
        /// Dead at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Dead before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// Dead letters per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// An event that a consumer failed to handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventDeadLetterView {
    /// The identifier of the dead letter.
    pub id: Uuid,
    /// The consumer.
    #[schema(example = "webhooks")]
    pub consumer: String,
    /// The identifier of the event.
    pub event_id: Uuid,
    /// The type of the event.
    #[schema(example = "application.status_changed.v1")]
    pub event_type: String,
    /// The subject of the event.
    pub subject: Uuid,
    /// The offset of the event.
    #[schema(example = 4711)]
    pub offset: i64,
    /// When the event was written.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub time: DateTime<Utc>,
    /// The request that caused the event.
    pub request_id: Option<String>,
    /// The number of attempts.
    #[schema(example = 5)]
    pub attempts: i32,
    /// The code of the last error.
    #[schema(example = "panicked")]
    pub error_type: Option<String>,
    /// The message of the last error.
    pub error_message: Option<String>,
    /// Whether later events of the subject wait behind this one.
    pub blocks_subject: bool,
    /// When the event became a dead letter.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub dead_since: Option<DateTime<Utc>>,
}

impl From<EventDeadLetter> for EventDeadLetterView {
    fn from(letter: EventDeadLetter) -> Self {
        Self {
            id: letter.id,
            consumer: letter.consumer,
            event_id: letter.event_id,
            event_type: letter.event_type,
            subject: letter.subject,
            offset: letter.offset,
            time: letter.time,
            request_id: letter.request_id,
            attempts: letter.attempts,
            error_type: letter.error_type,
            error_message: letter.error_message,
            blocks_subject: letter.blocks_subject,
            dead_since: letter.dead_since,
        }
    }
}

/// A page of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventDeadLetterPage {
    /// Maximum number of dead letters per page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The dead letters.
    pub dead_letters: Vec<EventDeadLetterView>,
}

/// Lists the events that consumers failed to handle, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/dead-letters",
    operation_id = "list_event_dead_letters",
    tag = "events",
    params(EventDeadLetterParameters),
    responses(
        (status = 200, description = "A page of the list", body = EventDeadLetterPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed =
        operators::list_dead_letters(&state.resources, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |letter| letter.id);
    let dead_letters = listed.into_iter().map(EventDeadLetterView::from).collect();
    Ok(HttpResponse::Ok().json(EventDeadLetterPage { page_size: page.size, next_cursor, dead_letters }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(EventDeadLetterFilter, Page)> {
    let sent = EventDeadLetterParameters::take(&mut query);
    query.check("to", check_period(sent.from, sent.to));
    let filter = EventDeadLetterFilter {
        id: None,
        consumer: sent.consumer,
        event_type: sent.event_type,
        subject: sent.subject,
        error_type: sent.error_type,
        from: sent.from,
        until: sent.to,
    };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("event dead letters {filter:?}"), size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

/// A dead letter with the data of its event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventDeadLetterDetailsView {
    /// The dead letter.
    #[serde(flatten)]
    pub letter: EventDeadLetterView,
    /// The data of the event.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// Returns a dead letter with the data of its event.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/dead-letters/{id}",
    operation_id = "get_event_dead_letter",
    tag = "events",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter")),
    responses(
        (status = 200, description = "The dead letter", body = EventDeadLetterDetailsView),
        (status = 404, description = "Dead letter not found"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    let (letter, data) = operators::get_dead_letter(&state.resources, id).await?;
    Ok(HttpResponse::Ok().json(EventDeadLetterDetailsView { letter: letter.into(), data }))
}
