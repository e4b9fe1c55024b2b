//! `GET /api/v1/webhook-endpoints`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::WebhookEndpointView;
use crate::http::HttpState;
use crate::http::keyset::{Page, PageParameters};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;

/// A page of webhook endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookEndpointPage {
    /// Maximum number of endpoints per page.
    #[schema(example = 20)]
    page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    /// The endpoints.
    endpoints: Vec<WebhookEndpointView>,
}

/// Lists webhook endpoints, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints",
    operation_id = "list_webhook_endpoints",
    tag = "webhook endpoints",
    params(PageParameters),
    responses(
        (status = 200, description = "A page of the list", body = WebhookEndpointPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let page = Page::read(state.keys(), query, "webhook_endpoints")?;
    let mut found = state.deliveries.endpoints(page.before, page.limit()).await?;
    let next_cursor = page.cut(state.keys(), &mut found, |endpoint| endpoint.id);
    let endpoints = found.into_iter().map(WebhookEndpointView::from).collect();
    Ok(HttpResponse::Ok().json(WebhookEndpointPage { page_size: page.size, next_cursor, endpoints }))
}
