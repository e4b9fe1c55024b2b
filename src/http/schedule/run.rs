//! `POST /api/v1/admin/schedule/{task}/run`

use actix_web::{HttpResponse, web};

use super::RunView;
use crate::actors::housekeeper::tasks::ScheduledTask;
use crate::error::Error;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;
use crate::queue::scheduled_runs;

/// Requests a run of a scheduled task, even if its schedule is off.
///
/// The leading housekeeper starts the run as soon as no other run is in progress. If a run is already waiting, that run
/// is returned.
#[utoipa::path(
    post,
    path = "/api/v1/admin/schedule/{task}/run",
    operation_id = "run_scheduled_task",
    tag = "operations",
    params(("task" = String, Path, description = "Name of the task", example = "expire_webhooks")),
    responses(
        (status = 202, description = "Run queued", body = RunView),
        (status = 404, description = "Scheduled task not found"),
        (
            status = 409,
            description = "Another request for a run of this task is in progress; see Retry-After",
            headers(("Retry-After" = i64, description = "Seconds until the request can be retried")),
        ),
    ),
)]
pub(in crate::http) async fn run(
    state: HttpState,
    principal: Principal,
    task: web::Path<String>,
) -> HandlerResult {
    let task = ScheduledTask::parse(&task).ok_or(Error::NotFound("task"))?;
    let run = scheduled_runs::request(&state.resources, task.name(), &principal.account).await?;
    Ok(HttpResponse::Accepted().json(RunView::from(run)))
}
