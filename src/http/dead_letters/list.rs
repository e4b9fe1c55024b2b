//! `GET /api/v1/admin/failed-jobs`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::DeadLetterView;
use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, application_id, identifier, period_end, period_start};
use crate::json::Refusal;
use crate::queue::dead_letters::{self, DeadLetterFilter, FailedJobStatus};
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct DeadLetterParameters {
        /// The status.
        #[param(value_type = Option<FailedJobStatus>)]
        status: Option<FailedJobStatus> = status,
        /// The name of the task.
        #[param(example = "process_credit_application")]
        task: Option<String> = identifier,
        /// The error code.
        #[param(example = "panicked")]
        error_type: Option<String> = identifier,
        /// The lane; for applications, the country code.
        #[param(example = "ES")]
        lane: Option<String> = identifier,
        /// The identifier of the application.
        #[param(value_type = Option<Uuid>)]
        application_id: Option<ApplicationId> = application_id,
        /// Failed permanently at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Failed permanently before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// Dead letters per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A page of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetterPage {
    /// Maximum number of dead letters per page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The dead letters.
    pub failed_jobs: Vec<DeadLetterView>,
}

/// Lists dead letters, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/failed-jobs",
    operation_id = "list_failed_jobs",
    tag = "operations",
    params(DeadLetterParameters),
    responses(
        (status = 200, description = "A page of the list", body = DeadLetterPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = dead_letters::list(&state.resources, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |letter| letter.id);
    let failed_jobs = listed.into_iter().map(DeadLetterView::from).collect();
    Ok(HttpResponse::Ok().json(DeadLetterPage { page_size: page.size, next_cursor, failed_jobs }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(DeadLetterFilter, Page)> {
    let sent = DeadLetterParameters::take(&mut query);
    let filter = DeadLetterFilter {
        status: sent.status,
        task: sent.task,
        error_type: sent.error_type,
        lane: sent.lane,
        application_id: sent.application_id,
        from: sent.from,
        until: sent.to,
    };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("dead letters {filter:?}"), size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

pub(super) fn status(text: &str) -> Result<FailedJobStatus, Refusal> {
    let refusal = || {
        let names = FailedJobStatus::ALL.map(|(_, name)| name).join(", ");
        ("unknown_status", format!("must be one of {names}"))
    };
    text.parse().ok().ok_or_else(refusal)
}
