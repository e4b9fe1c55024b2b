//! `GET /api/v1/admin/webhook-events`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, application_id};
use crate::json::Refusal;
use crate::lending::webhooks::{ListedEvent, WebhookFilter, WebhookStatus};
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct WebhookListParameters {
        /// The status: `applied`, `ignored` or `failed`.
        #[param(value_type = Option<WebhookStatus>)]
        status: Option<WebhookStatus> = status,
        /// The name of the bureau.
        #[param(example = "ASNEF-CIRBE")]
        provider: Option<String> = provider,
        /// The identifier of the application.
        #[param(value_type = Option<Uuid>)]
        application_id: Option<ApplicationId> = application_id,
        /// Events per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A webhook event, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookEventView {
    /// The identifier.
    pub id: Uuid,
    /// The bureau.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: String,
    /// The application's country.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Label<Country>,
    /// The identifier of the application.
    pub application_id: Uuid,
    /// The bureau's reference.
    #[schema(example = "ES-7f3a9c")]
    pub provider_reference: String,
    /// The outcome that the bureau reported: `confirmed`, `rejected` or `needs_review`.
    #[schema(value_type = crate::http::schemas::ReportedOutcomeName, example = "confirmed")]
    pub outcome: String,
    /// The status of processing.
    #[schema(value_type = WebhookStatus)]
    pub status: Label<WebhookStatus>,
    /// Number of attempts to apply the event.
    #[schema(example = 1)]
    pub attempts: i32,
    /// The code of the last error; `null` if there was none.
    pub error_type: Option<String>,
    /// The message of the last error.
    pub error_message: Option<String>,
    /// The request that delivered the event.
    pub request_id: Option<String>,
    /// Time of the event, according to the sender's clock.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub occurred_at: DateTime<Utc>,
    /// When the event was first received.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub received_at: DateTime<Utc>,
    /// When the event was applied or ignored.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub settled_at: Option<DateTime<Utc>>,
    /// When the job that retries a failed event is due; `null` if there is none.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub next_attempt_at: Option<DateTime<Utc>>,
}

impl From<ListedEvent> for WebhookEventView {
    fn from(event: ListedEvent) -> Self {
        Self {
            id: event.id,
            provider: event.provider,
            country: event.country.0,
            application_id: event.application_id,
            provider_reference: event.provider_reference,
            outcome: event.outcome,
            status: event.status.0,
            attempts: event.attempts,
            error_type: event.error_type,
            error_message: event.error_message,
            request_id: event.request_id,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            settled_at: event.settled_at,
            next_attempt_at: event.next_attempt_at,
        }
    }
}

/// A page of webhook events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookEventPage {
    /// Maximum number of events per page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The events.
    pub events: Vec<WebhookEventView>,
}

/// Lists received webhook events, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webhook-events",
    operation_id = "list_webhook_events",
    tag = "webhooks",
    params(WebhookListParameters),
    responses(
        (status = 200, description = "A page of the list", body = WebhookEventPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = state.lending.webhook_events(&filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |event| event.id);
    Ok(HttpResponse::Ok().json(WebhookEventPage {
        page_size: page.size,
        next_cursor,
        events: listed.into_iter().map(WebhookEventView::from).collect(),
    }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(WebhookFilter, Page)> {
    let sent = WebhookListParameters::take(&mut query);
    let filter =
        WebhookFilter { status: sent.status, provider: sent.provider, application_id: sent.application_id };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("webhook events {filter:?}"), size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

fn status(text: &str) -> Result<WebhookStatus, Refusal> {
    let refusal = |_unknown| ("unknown_status", "must be received, applied, ignored or failed".to_owned());
    text.parse().map_err(refusal)
}

/// Accepts any text that the database can store; a string that is not a bureau name simply matches nothing.
fn provider(text: &str) -> Result<String, Refusal> {
    let safe = text.len() <= 128 && !text.chars().any(char::is_control);
    safe.then(|| text.to_owned()).ok_or_else(|| ("bad_provider", "is not a valid bureau name".to_owned()))
}
