//! `GET /api/v1/users`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::UserView;
use crate::http::HttpState;
use crate::http::keyset::{Page, PageParameters};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;

/// A page of user accounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserPage {
    /// Maximum number of accounts per page.
    #[schema(example = 20)]
    page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    /// The user accounts.
    users: Vec<UserView>,
}

/// Lists user accounts, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    operation_id = "list_users",
    tag = "accounts",
    params(PageParameters),
    responses(
        (status = 200, description = "A page of the list", body = UserPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let page = Page::read(state.resources.database.keys(), query, "users")?;
    let mut users = state.accounts.users(page.before, page.limit()).await?;
    state.resources.record_unknown("users", users.iter().filter_map(|account| account.user.role.0.unknown()));
    let next_cursor = page.cut(state.resources.database.keys(), &mut users, |account| account.user.id);
    let users = users.into_iter().map(UserView::from).collect();
    Ok(HttpResponse::Ok().json(UserPage { page_size: page.size, next_cursor, users }))
}
