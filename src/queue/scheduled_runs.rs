//! The runs of scheduled tasks, and requests for runs. This module identifies tasks by name.

use slog::info;
use uuid::Uuid;

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::scheduled_runs;

pub use crate::storage::scheduled_runs::{Cause, Outcome, Run, RunFilter, TaskRecord};

/// Lists runs, newest first: at most `limit` that were created before `before`.
///
/// # Errors
/// If the database fails.
pub async fn list(
    resources: &Resources,
    filter: &RunFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Run>> {
    scheduled_runs::list_page(&mut *resources.database.get().await?, filter, before, limit).await
}

/// The record and the last run of each task, in the order of `tasks`.
///
/// # Errors
/// If the database fails.
pub async fn latest_by_task(
    resources: &Resources,
    tasks: &[&'static str],
) -> Result<Vec<(TaskRecord, Option<Run>)>> {
    let mut connection = resources.database.get().await?;
    let records = scheduled_runs::records(&mut connection, tasks).await?;
    let latest = scheduled_runs::latest(&mut connection, tasks).await?;
    Ok(records.into_iter().zip(latest).collect())
}

/// Requests a run of a task on behalf of `account`.
///
/// # Errors
/// [`Error::Conflict`](crate::error::Error::Conflict) if another request for a run of this task is in progress; any
/// error of the database.
pub async fn request(resources: &Resources, task: &'static str, account: &str) -> Result<Run> {
    let (id, now) = (resources.clock.new_uuid(), resources.clock.now());
    // Safe to repeat: the run is inserted at most once under its identifier.
    let request =
        async |connection: &mut _| scheduled_runs::request(connection, id, task, now, account).await;
    let run = resources.database.run(request).await?;
    info!(resources.logger, "run of a scheduled task requested"; "task" => task);
    Ok(run)
}
