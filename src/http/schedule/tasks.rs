//! `GET /api/v1/admin/schedule`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::RunView;
use crate::actors::housekeeper::schedule::{self, ScheduleSettings};
use crate::actors::housekeeper::tasks::ScheduledTask;
use crate::config::MissedPolicy;
use crate::http::HttpState;
use crate::http::problem::HandlerResult;
use crate::queue::scheduled_runs;

/// The schedule of all tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScheduleView {
    /// The time zone of the cron expressions.
    #[schema(example = "UTC")]
    pub time_zone: String,
    /// All scheduled tasks.
    pub tasks: Vec<ScheduledTaskView>,
}

/// A scheduled task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ScheduledTask)]
pub struct ScheduledTaskView {
    /// The name of the task.
    #[schema(example = "expire_webhooks")]
    pub task: &'static str,
    /// The cron expression; empty or `off` if the task only runs on request.
    #[schema(example = "0 3 * * *")]
    pub cron: String,
    /// What happens if a due time passes while there is no leader.
    pub missed: MissedPolicy,
    /// The next due time; in the past if the task is about to start, `null` if its schedule is off.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub next_due_at: Option<DateTime<Utc>>,
    /// When the last successful run finished.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub last_success_at: Option<DateTime<Utc>>,
    /// The latest run, including one that is waiting or in progress.
    #[schema(value_type = Option<RunView>)]
    pub last_run: Option<RunView>,
}

/// Returns the schedule of all tasks with their latest runs.
#[utoipa::path(
    get,
    path = "/api/v1/admin/schedule",
    operation_id = "get_schedule",
    tag = "operations",
    responses((status = 200, description = "The schedule", body = ScheduleView)),
)]
pub(in crate::http) async fn tasks(state: HttpState) -> HandlerResult {
    let settings = &state.resources.settings.housekeeping;
    let (shared, now) = (ScheduleSettings::of(settings), state.resources.clock.now());
    let names = ScheduledTask::ALL.map(ScheduledTask::name);
    let known = scheduled_runs::latest_by_task(&state.resources, &names).await?;
    let tasks = ScheduledTask::ALL.into_iter().zip(known).map(|(task, (record, last))| {
        let when = task.schedule(settings);
        ScheduledTaskView {
            task: task.name(),
            cron: when.cron.as_str().to_owned(),
            missed: when.missed,
            next_due_at: schedule::next_due(when, &shared, &record, now),
            last_success_at: record.completed_at,
            last_run: last.map(RunView::from),
        }
    });
    Ok(HttpResponse::Ok()
        .json(ScheduleView { time_zone: settings.time_zone.clone(), tasks: tasks.collect() }))
}
