//! `POST /api/v1/admin/schedule/{task}/run`

use actix_web::{HttpResponse, web};

use super::RunView;
use crate::actors::housekeeper::tasks::Task;
use crate::error::Error;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::Answer;
use crate::queue::scheduled_runs;

/// Asks for a run of a recurring task, also of one that is switched off.
///
/// The leading instance begins it as soon as it runs nothing else. While one waits, asking again gives that one.
#[utoipa::path(
    post,
    path = "/api/v1/admin/schedule/{task}/run",
    operation_id = "run_scheduled_task",
    tag = "operations",
    params(("task" = String, Path, description = "The task's name", example = "expire_webhooks")),
    responses(
        (status = 202, description = "It will run", body = RunView),
        (status = 404, description = "There is no such task"),
        (
            status = 409,
            description = "A run of it is being asked for at this moment; see Retry-After",
            headers(("Retry-After" = i64, description = "Seconds until the request may be sent again")),
        ),
    ),
)]
pub(in crate::http) async fn run(state: HttpState, principal: Principal, task: web::Path<String>) -> Answer {
    let task = Task::parse(&task).ok_or(Error::NotFound("task"))?;
    let run = scheduled_runs::request(&state.resources, task.name(), &principal.account).await?;
    Ok(HttpResponse::Accepted().json(RunView::from(run)))
}
