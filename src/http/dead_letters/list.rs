//! `GET /api/v1/admin/failed-jobs`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::view::DeadLetterView;
use crate::domain::members::Refusal;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::applications::filter::{Edge, moment};
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page};
use crate::http::operations::jobs::{application_id, word};
use crate::http::problem::Answer;
use crate::http::query::Query;
use crate::queue::dead_letters::{self, FailedJobStatus, LetterFilter};
use crate::storage::seal::KeyRing;

/// What the list is narrowed to, and which part of it is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read parameter by parameter; this is its schema")]
pub struct DeadLetterParameters {
    /// What operators made of them.
    #[param(value_type = Option<FailedJobStatus>)]
    status: Option<String>,
    /// One task.
    #[param(example = "process_credit_application")]
    task: Option<String>,
    /// One error code.
    #[param(example = "panicked")]
    error_type: Option<String>,
    /// One lane: for applications, the country's code.
    #[param(example = "ES")]
    lane: Option<String>,
    /// One application.
    application_id: Option<Uuid>,
    /// Given up at or after this RFC 3339 time, or on or after this date (UTC).
    #[param(example = "2026-01-01")]
    from: Option<String>,
    /// Given up before this RFC 3339 time, or on or before this date (UTC).
    #[param(example = "2026-01-31")]
    to: Option<String>,
    /// Letters of a page; 20 when absent.
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
    /// The `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
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
    let filter = LetterFilter {
        status: query.take("status", status),
        task: query.take("task", word),
        error_type: query.take("error_type", word),
        lane: query.take("lane", word),
        application_id: query.take("application_id", application_id),
        from: query.take("from", |text| moment(text, Edge::Start)),
        until: query.take("to", |text| moment(text, Edge::End)),
    };
    let page = Page::take(keys, &mut query, format!("dead letters {filter:?}"), DEFAULT_PAGE_SIZE);
    query.finish()?;
    Ok((filter, page))
}

/// # Errors
/// A refusal of what is no status of a dead letter.
pub(super) fn status(text: &str) -> Result<FailedJobStatus, Refusal> {
    let refusal = || {
        let names = FailedJobStatus::ALL.map(|(_, name)| name).join(", ");
        ("unknown_status", format!("must be one of {names}"))
    };
    text.parse().ok().ok_or_else(refusal)
}
