//! `GET /api/v1/admin/schedule`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::RunView;
use crate::actors::housekeeper::schedule::{self, Rules};
use crate::actors::housekeeper::tasks::Task;
use crate::config::MissedPolicy;
use crate::http::HttpState;
use crate::http::problem::Answer;
use crate::queue::scheduled_runs;

/// The schedule of recurring work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScheduleView {
    /// The time zone that the expressions are read in.
    #[schema(example = "UTC")]
    pub time_zone: String,
    /// Every task.
    pub tasks: Vec<ScheduledTask>,
}

/// One recurring task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScheduledTask {
    /// The name.
    #[schema(example = "expire_webhooks")]
    pub task: &'static str,
    /// The cron expression; empty or `off` when it never runs by itself.
    #[schema(example = "0 3 * * *")]
    pub cron: String,
    /// What becomes of a time that passed while nobody led.
    pub missed: MissedPolicy,
    /// When it runs next; in the past when it is about to. `null` when it is switched off.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub next_due_at: Option<DateTime<Utc>>,
    /// When it was last completed.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub last_success_at: Option<DateTime<Utc>>,
    /// The last run, or the one that waits or is under way.
    #[schema(value_type = Option<RunView>)]
    pub last_run: Option<RunView>,
}

/// Every recurring task, when it runs, and how it went last.
#[utoipa::path(
    get,
    path = "/api/v1/admin/schedule",
    operation_id = "get_schedule",
    tag = "operations",
    responses((status = 200, description = "The schedule", body = ScheduleView)),
)]
pub(in crate::http) async fn tasks(state: HttpState) -> Answer {
    let settings = &state.resources.settings.housekeeping;
    let (rules, now) = (Rules::of(settings), state.resources.clock.now());
    let names = Task::ALL.map(Task::name);
    let known = scheduled_runs::of_tasks(&state.resources, &names).await?;
    let tasks = Task::ALL.into_iter().zip(known).map(|(task, (record, last))| {
        let when = task.schedule(settings);
        ScheduledTask {
            task: task.name(),
            cron: when.cron.as_str().to_owned(),
            missed: when.missed,
            next_due_at: schedule::next_due(when, &rules, &record, now),
            last_success_at: record.completed_at,
            last_run: last.map(RunView::from),
        }
    });
    Ok(HttpResponse::Ok()
        .json(ScheduleView { time_zone: settings.time_zone.clone(), tasks: tasks.collect() }))
}
