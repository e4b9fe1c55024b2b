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
use crate::http::problem::Answer;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, application_id, period_end, period_start, word};
use crate::json::Refusal;
use crate::queue::dead_letters::{self, FailedJobStatus, LetterFilter};
use crate::storage::seal::KeyRing;

request_query! {
    /// What the list is narrowed to, and which part of it is wanted.
    pub struct DeadLetterParameters {
        /// What operators made of them.
        #[param(value_type = Option<FailedJobStatus>)]
        status: Option<FailedJobStatus> = status,
        /// One task.
        #[param(example = "process_credit_application")]
        task: Option<String> = word,
        /// One error code.
        #[param(example = "panicked")]
        error_type: Option<String> = word,
        /// One lane: for applications, the country's code.
        #[param(example = "ES")]
        lane: Option<String> = word,
        /// One application.
        #[param(value_type = Option<Uuid>)]
        application_id: Option<ApplicationId> = application_id,
        /// Given up at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Given up before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// Letters of a page; 20 when absent.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// The `next_cursor` of the page before, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetterPage {
    /// Most letters of a page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Continues the list; `null` when it ends here.
    pub next_cursor: Option<String>,
    /// The letters.
    pub failed_jobs: Vec<DeadLetterView>,
}

/// Dead letters, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/failed-jobs",
    operation_id = "list_failed_jobs",
    tag = "operations",
    params(DeadLetterParameters),
    responses(
        (status = 200, description = "A part of the list", body = DeadLetterPage),
        (status = 400, description = "The query is not percent-encoded UTF-8"),
        (status = 422, description = "A parameter is not acceptable"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> Answer {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = dead_letters::list(&state.resources, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |letter| letter.id);
    let failed_jobs = listed.into_iter().map(DeadLetterView::from).collect();
    Ok(HttpResponse::Ok().json(DeadLetterPage { page_size: page.size, next_cursor, failed_jobs }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(LetterFilter, Page)> {
    let sent = DeadLetterParameters::take(&mut query);
    let filter = LetterFilter {
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
