//! `GET /api/v1/ingest/dead-letters` and `/api/v1/ingest/dead-letters/{id}`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, check_period, identifier, period_end, period_start};
use crate::ingest::dead_letters::{IngestDeadLetter, IngestDeadLetterFilter};
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct IngestDeadLetterParameters {
        /// The name of the account or API key that sent the event.
        #[param(example = "key:shop")]
        account: Option<String> = any_text,
        /// Why the event was refused.
        #[param(example = "too_old")]
        code: Option<String> = identifier,
        /// Received at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Received before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// Dead letters per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A refused event.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestDeadLetterView {
    /// The identifier of the dead letter.
    pub id: Uuid,
    /// The account or API key that sent the event.
    #[schema(example = "key:shop")]
    pub account: String,
    /// Why it was refused.
    #[schema(example = "too_old")]
    pub code: String,
    /// What is wrong with it.
    #[schema(example = "occurred_at must be at most 7 days ago")]
    pub detail: String,
    /// When it was received.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub received_at: DateTime<Utc>,
}

impl From<IngestDeadLetter> for IngestDeadLetterView {
    fn from(letter: IngestDeadLetter) -> Self {
        let IngestDeadLetter { id, account, code, detail, received_at } = letter;
        Self { id, account, code, detail, received_at }
    }
}

/// A page of refused events.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestDeadLetterPage {
    /// Maximum number of dead letters per page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The dead letters.
    pub dead_letters: Vec<IngestDeadLetterView>,
}

/// A refused event with its content.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestDeadLetterDetailsView {
    /// The dead letter.
    #[serde(flatten)]
    pub letter: IngestDeadLetterView,
    /// The event, as it was sent. It may contain personal data.
    #[schema(value_type = serde_json::Value)]
    pub event: Box<RawValue>,
}

/// Lists the refused events that were kept, newest first.
///
/// None are kept unless `ingest.keep_rejected` is set.
#[utoipa::path(
    get,
    path = "/api/v1/ingest/dead-letters",
    operation_id = "list_ingest_dead_letters",
    tag = "ingest",
    params(IngestDeadLetterParameters),
    responses(
        (status = 200, description = "A page of the list", body = IngestDeadLetterPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = state.ingest.list_dead_letters(&filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |letter| letter.id);
    let dead_letters = listed.into_iter().map(IngestDeadLetterView::from).collect();
    Ok(HttpResponse::Ok().json(IngestDeadLetterPage { page_size: page.size, next_cursor, dead_letters }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(IngestDeadLetterFilter, Page)> {
    let sent = IngestDeadLetterParameters::take(&mut query);
    query.check("to", check_period(sent.from, sent.to));
    let filter =
        IngestDeadLetterFilter { account: sent.account, code: sent.code, from: sent.from, until: sent.to };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("ingest dead letters {filter:?}"), size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

/// Returns a refused event with its content.
#[utoipa::path(
    get,
    path = "/api/v1/ingest/dead-letters/{id}",
    operation_id = "get_ingest_dead_letter",
    tag = "ingest",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter")),
    responses(
        (status = 200, description = "The dead letter", body = IngestDeadLetterDetailsView),
        (status = 404, description = "Dead letter not found"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    let (letter, event) = state.ingest.get_dead_letter(id).await?;
    let event = RawValue::from_string(event).map_err(Error::internal)?;
    Ok(HttpResponse::Ok().json(IngestDeadLetterDetailsView { letter: letter.into(), event }))
}
