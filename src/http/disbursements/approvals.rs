//! `GET /api/v1/admin/disbursement-approvals`, and the decisions about them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::ApprovalView;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::any_text;
use crate::lending::Caller;
use crate::lending::disburse::Approval;

request_query! {
    /// The page of the list.
    pub struct ApprovalParameters {
        /// Requests per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page.
        cursor: Option<String> = any_text,
    }
}

/// A page of pending requests.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalPage {
    /// Maximum number of requests per page.
    #[schema(example = 20)]
    page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    approvals: Vec<ApprovalView>,
}

/// Lists the requests about disbursements that wait for a second person, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/disbursement-approvals",
    operation_id = "list_disbursement_approvals",
    tag = "disbursements",
    params(ApprovalParameters),
    responses(
        (status = 200, description = "A page of the list", body = ApprovalPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, mut query: Query) -> HandlerResult {
    let keys = state.keys();
    let sent = ApprovalParameters::take(&mut query);
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, "disbursement approvals".to_owned(), size, sent.cursor);
    query.finish()?;
    let mut found = state.lending.pending_approvals(page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut found, |approval| approval.id);
    let approvals = found.iter().map(ApprovalView::from).collect();
    Ok(HttpResponse::Ok().json(ApprovalPage { page_size: page.size, next_cursor, approvals }))
}

/// Approves a request as its second person, which carries it out.
#[utoipa::path(
    post,
    path = "/api/v1/admin/disbursement-approvals/{id}/approve",
    operation_id = "approve_disbursement_request",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the request"), Idempotency),
    responses(
        (status = 200, description = "The decided request", body = ApprovalView),
        (status = 403, description = "The caller made the request"),
        (status = 404, description = "Request not found"),
        (status = 409, description = "The request was decided before or has expired, or the state no longer permits it"),
    ),
)]
pub(in crate::http) async fn approve(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    IdPath(id): IdPath,
) -> HandlerResult {
    decide(&state, &caller, &idempotency, id, true).await
}

/// Declines a request as its second person. A declined payment is reverted.
#[utoipa::path(
    post,
    path = "/api/v1/admin/disbursement-approvals/{id}/decline",
    operation_id = "decline_disbursement_request",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the request"), Idempotency),
    responses(
        (status = 200, description = "The decided request", body = ApprovalView),
        (status = 403, description = "The caller made the request"),
        (status = 404, description = "Request not found"),
        (status = 409, description = "The request was decided before or has expired"),
    ),
)]
pub(in crate::http) async fn decline(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    IdPath(id): IdPath,
) -> HandlerResult {
    decide(&state, &caller, &idempotency, id, false).await
}

async fn decide(
    state: &HttpState,
    caller: &Caller,
    idempotency: &Idempotency,
    id: Uuid,
    approves: bool,
) -> HandlerResult {
    let keyed = idempotency.keyed(state, &caller.account, b"", &reply);
    let made = state.lending.decide_approval(caller, id, approves, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(decided: &Approval) -> Result<Reply> {
    Reply::json(StatusCode::OK, &ApprovalView::from(decided))
}
