//! `GET /api/v1/api-keys`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::ApiKeyView;
use crate::http::HttpState;
use crate::http::keyset::{Page, PageParameters};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;

/// A page of API keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyPage {
    /// Maximum number of keys per page.
    #[schema(example = 20)]
    page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    /// The keys, including revoked ones.
    api_keys: Vec<ApiKeyView>,
}

/// Lists API keys, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/api-keys",
    operation_id = "list_api_keys",
    tag = "accounts",
    params(PageParameters),
    responses(
        (status = 200, description = "A page of the list", body = ApiKeyPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let page = Page::read(state.resources.database.keys(), query, "api_keys")?;
    let mut keys = state.accounts.keys(page.before, page.limit()).await?;
    state.resources.record_unknown("api_keys", keys.iter().filter_map(|key| key.role.unknown()));
    let next_cursor = page.cut(state.resources.database.keys(), &mut keys, |key| key.id);
    let api_keys = keys.into_iter().map(ApiKeyView::from).collect();
    Ok(HttpResponse::Ok().json(ApiKeyPage { page_size: page.size, next_cursor, api_keys }))
}
