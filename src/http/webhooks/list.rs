//! `GET /api/v1/admin/webhook-events`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::domain::members::Refusal;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page};
use crate::http::problem::Answer;
use crate::http::query::Query;
use crate::lending::webhooks::{ListedEvent, WebhookFilter, WebhookStatus};
use crate::storage::seal::KeyRing;

/// What the list is narrowed to, and which part of it is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read parameter by parameter; this is its schema")]
pub struct WebhookListParameters {
    /// What became of them: `applied`, `ignored` or `failed`.
    #[param(value_type = Option<WebhookStatus>)]
    status: Option<String>,
    /// One bureau, by its name.
    #[param(example = "ASNEF-CIRBE")]
    provider: Option<String>,
    /// One application.
    application_id: Option<Uuid>,
    /// Events of a page; 20 when absent.
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
    /// The `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
}

/// One webhook, without its payload.
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
    /// The application.
    pub application_id: Uuid,
    /// The bureau's reference.
    #[schema(example = "ES-7f3a9c")]
    pub provider_reference: String,
    /// What the bureau made of the application: `confirmed`, `rejected` or `needs_review`.
    #[schema(value_type = crate::http::schemas::ReportedOutcomeName, example = "confirmed")]
    pub outcome: String,
    /// What became of it.
    #[schema(value_type = WebhookStatus)]
    pub status: Label<WebhookStatus>,
    /// How often it was tried to apply it.
    #[schema(example = 1)]
    pub attempts: i32,
    /// The code of the last failure, if there was one.
    pub error_type: Option<String>,
    /// The last failure.
    pub error_message: Option<String>,
    /// The request that brought it.
    pub request_id: Option<String>,
    /// When it came about, by the sender's clock.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub occurred_at: DateTime<Utc>,
    /// When it first came.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub received_at: DateTime<Utc>,
    /// When it was applied or ignored.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub settled_at: Option<DateTime<Utc>>,
    /// When the job that retries a failed one is due; `null` when no job waits.
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

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookEventPage {
    /// Most events of a page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Continues the list; `null` when it ends here.
    pub next_cursor: Option<String>,
    /// The events.
    pub events: Vec<WebhookEventView>,
}

/// Webhooks that came, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webhook-events",
    operation_id = "list_webhook_events",
    tag = "webhooks",
    params(WebhookListParameters),
    responses(
        (status = 200, description = "A part of the list", body = WebhookEventPage),
        (status = 400, description = "The query is not percent-encoded UTF-8"),
        (status = 422, description = "A parameter is not acceptable"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> Answer {
    let keys = state.keys();
    let Wanted { filter, page } = Wanted::read(query, keys)?;
    let mut listed = state.lending.webhook_events(&filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |event| event.id);
    Ok(HttpResponse::Ok().json(WebhookEventPage {
        page_size: page.size,
        next_cursor,
        events: listed.into_iter().map(WebhookEventView::from).collect(),
    }))
}

struct Wanted {
    filter: WebhookFilter,
    page: Page,
}

impl Wanted {
    fn read(mut query: Query, keys: &KeyRing) -> Result<Self> {
        let filter = WebhookFilter {
            status: query.take("status", |text| {
                text.parse().map_err(|_unknown| {
                    ("unknown_status", "must be received, applied, ignored or failed".to_owned())
                })
            }),
            provider: query.take("provider", provider),
            application_id: query.take("application_id", |text| {
                let id: Result<ApplicationId, _> = text.parse();
                id.map_err(|_invalid| ("bad_uuid", "must be a UUID".to_owned()))
            }),
        };
        let page = Page::take(keys, &mut query, name(&filter), DEFAULT_PAGE_SIZE);
        query.finish()?;
        Ok(Self { filter, page })
    }
}

/// A text that is no bureau's name finds nothing; one that the database cannot hold is refused.
fn provider(text: &str) -> Result<String, Refusal> {
    let safe = text.len() <= 128 && !text.chars().any(char::is_control);
    safe.then(|| text.to_owned()).ok_or_else(|| ("bad_provider", "is not a bureau's name".to_owned()))
}

/// The list with its filters as text, the same for the same list.
fn name(filter: &WebhookFilter) -> String {
    format!("webhook events {filter:?}")
}
