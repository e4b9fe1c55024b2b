//! `GET /api/v1/admin/scheduled-runs`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::RunView;
use crate::actors::housekeeper::tasks::ScheduledTask;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::any_text;
use crate::json::Refusal;
use crate::queue::scheduled_runs::{self, Outcome, RunFilter};
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct RunListParameters {
        /// The name of the task.
        #[param(value_type = Option<String>, example = "expire_webhooks")]
        task: Option<&'static str> = task,
        /// The outcome: `requested`, `running`, `completed`, `failed` or `abandoned`.
        #[param(value_type = Option<Outcome>)]
        outcome: Option<Outcome> = outcome,
        /// Runs per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A page of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunPage {
    /// Maximum number of runs per page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The runs.
    pub runs: Vec<RunView>,
}

/// Lists the runs of scheduled tasks, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/scheduled-runs",
    operation_id = "list_scheduled_runs",
    tag = "operations",
    params(RunListParameters),
    responses(
        (status = 200, description = "A page of the list", body = RunPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = scheduled_runs::list(&state.resources, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |run| run.id);
    Ok(HttpResponse::Ok().json(RunPage {
        page_size: page.size,
        next_cursor,
        runs: listed.into_iter().map(RunView::from).collect(),
    }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(RunFilter, Page)> {
    let RunListParameters { task, outcome, page_size, cursor } = RunListParameters::take(&mut query);
    let filter = RunFilter { task, outcome };
    let size = page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("scheduled runs {filter:?}"), size, cursor);
    query.finish()?;
    Ok((filter, page))
}

fn task(text: &str) -> Result<&'static str, Refusal> {
    let names = || ScheduledTask::ALL.map(ScheduledTask::name).join(", ");
    ScheduledTask::parse(text)
        .map(ScheduledTask::name)
        .ok_or_else(|| ("unknown_task", format!("must be one of {}", names())))
}

fn outcome(text: &str) -> Result<Outcome, Refusal> {
    let names = || Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>().join(", ");
    let found = Outcome::ALL.iter().find(|outcome| outcome.as_str() == text);
    found.copied().ok_or_else(|| ("unknown_outcome", format!("must be one of {}", names())))
}
