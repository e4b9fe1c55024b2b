//! `GET /api/v1/webhook-endpoints/{id}/deliveries`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::WebhookDeliveryView;
use crate::deliveries::DeliveryFilter;
use crate::domain::delivery::DeliveryStatus;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, check_period, identifier, period_end, period_start, uuid};
use crate::json::Refusal;
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct WebhookDeliveryParameters {
        /// The status of the delivery.
        #[param(value_type = Option<crate::http::schemas::WebhookDeliveryStatus>)]
        status: Option<DeliveryStatus> = status,
        /// The type of the event.
        #[param(example = "application.status_changed.v1")]
        event_type: Option<String> = identifier,
        /// The subject of the event.
        subject: Option<Uuid> = uuid,
        /// Created at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Created before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// Deliveries per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDeliveryPage {
    /// Maximum number of deliveries per page.
    #[schema(example = 20)]
    page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    /// The deliveries.
    deliveries: Vec<WebhookDeliveryView>,
}

/// Lists the deliveries to a webhook endpoint, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints/{id}/deliveries",
    operation_id = "list_webhook_deliveries",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint"), WebhookDeliveryParameters),
    responses(
        (status = 200, description = "A page of the list", body = WebhookDeliveryPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 404, description = "Webhook endpoint not found"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, IdPath(id): IdPath, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(id, query, keys)?;
    let mut found = state.deliveries.deliveries(id, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut found, |delivery| delivery.id);
    let deliveries = found.into_iter().map(WebhookDeliveryView::from).collect();
    Ok(HttpResponse::Ok().json(WebhookDeliveryPage { page_size: page.size, next_cursor, deliveries }))
}

fn read(endpoint: Uuid, mut query: Query, keys: &KeyRing) -> Result<(DeliveryFilter, Page)> {
    let sent = WebhookDeliveryParameters::take(&mut query);
    query.check("to", check_period(sent.from, sent.to));
    let filter = DeliveryFilter {
        status: sent.status,
        event_type: sent.event_type,
        subject: sent.subject,
        from: sent.from,
        until: sent.to,
    };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let list = format!("webhook deliveries {endpoint} {filter:?}");
    let page = Page::new(keys, &mut query, list, size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

fn status(text: &str) -> Result<DeliveryStatus, Refusal> {
    let names = || DeliveryStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
    let refusal = |_unknown| ("unknown_status", format!("must be one of {}", names()));
    text.parse().map_err(refusal)
}
