//! `GET /api/v1/auth/me/views`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::SavedViewItem;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;

/// The caller's saved views.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SavedViewList {
    /// The views, by page and name; at most 50.
    pub items: Vec<SavedViewItem>,
}

/// Lists the caller's saved views.
#[utoipa::path(
    get,
    path = "/api/v1/auth/me/views",
    operation_id = "list_saved_views",
    tag = "accounts",
    responses((status = 200, description = "The saved views", body = SavedViewList)),
)]
pub(in crate::http) async fn list(state: HttpState, principal: Principal) -> HandlerResult {
    let views = state.accounts.own_views(&principal).await?;
    let items = views.into_iter().map(SavedViewItem::from).collect();
    Ok(HttpResponse::Ok().json(SavedViewList { items }))
}
