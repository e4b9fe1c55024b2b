//! `GET /api/v1/webhook-endpoints/{id}/attempts`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::deliveries::{AttemptFilter, ListedAttempt};
use crate::domain::delivery::AttemptResult;
use crate::domain::label::Label;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, uuid};
use crate::json::Refusal;
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct WebhookAttemptParameters {
        /// The delivery.
        delivery_id: Option<Uuid> = uuid,
        /// The result of the attempt.
        #[param(value_type = Option<crate::http::schemas::WebhookAttemptResult>)]
        result: Option<AttemptResult> = result,
        /// Attempts per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// An attempt at a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookAttemptView {
    /// The identifier.
    id: Uuid,
    /// The delivery.
    delivery_id: Uuid,
    /// The result.
    #[schema(value_type = crate::http::schemas::WebhookAttemptResult)]
    result: Label<AttemptResult>,
    /// The HTTP status of the response; `null` if there was none.
    #[schema(example = 200)]
    status_code: Option<i32>,
    /// Duration in milliseconds.
    #[schema(example = 120)]
    duration_ms: i64,
    /// The first 1024 bytes of the response body as text; bytes that are not UTF-8 are replaced.
    response: Option<String>,
    /// Why there was no response.
    error: Option<String>,
    /// Time of the attempt.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    attempted_at: DateTime<Utc>,
}

impl From<ListedAttempt> for WebhookAttemptView {
    fn from(attempt: ListedAttempt) -> Self {
        let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
        Self {
            id: attempt.id,
            delivery_id: attempt.delivery_id,
            result: Label::read(&attempt.result),
            status_code: attempt.status_code,
            duration_ms: attempt.duration_ms,
            response: attempt.response.map(text),
            error: attempt.error,
            attempted_at: attempt.attempted_at,
        }
    }
}

/// A page of attempts.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookAttemptPage {
    /// Maximum number of attempts per page.
    #[schema(example = 20)]
    page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    /// The attempts.
    attempts: Vec<WebhookAttemptView>,
}

/// Lists the attempts at a webhook endpoint, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints/{id}/attempts",
    operation_id = "list_webhook_attempts",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint"), WebhookAttemptParameters),
    responses(
        (status = 200, description = "A page of the list", body = WebhookAttemptPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 404, description = "Webhook endpoint not found"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, IdPath(id): IdPath, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(id, query, keys)?;
    let mut found = state.deliveries.attempts(id, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut found, |attempt| attempt.id);
    let attempts = found.into_iter().map(WebhookAttemptView::from).collect();
    Ok(HttpResponse::Ok().json(WebhookAttemptPage { page_size: page.size, next_cursor, attempts }))
}

fn read(endpoint: Uuid, mut query: Query, keys: &KeyRing) -> Result<(AttemptFilter, Page)> {
    let sent = WebhookAttemptParameters::take(&mut query);
    let filter = AttemptFilter { delivery_id: sent.delivery_id, result: sent.result };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let list = format!("webhook attempts {endpoint} {filter:?}");
    let page = Page::new(keys, &mut query, list, size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

fn result(text: &str) -> Result<AttemptResult, Refusal> {
    let names = || AttemptResult::ALL.iter().map(|result| result.as_str()).collect::<Vec<_>>().join(", ");
    let refusal = |_unknown| ("unknown_value", format!("must be one of {}", names()));
    text.parse().map_err(refusal)
}
