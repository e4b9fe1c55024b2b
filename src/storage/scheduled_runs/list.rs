//! Lists the runs of scheduled tasks for operators.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Outcome, Run, RunRow};
use crate::error::Result;
use crate::storage::schema::scheduled_runs;

/// Selects the runs of a list. A field that is `None` matches every run.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub task: Option<&'static str>,
    pub outcome: Option<Outcome>,
}

/// One page of the list, newest first, starting after the run `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &RunFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Run>> {
    let mut query = scheduled_runs::table
        .select(RunRow::as_select())
        .order(scheduled_runs::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(task) = filter.task {
        query = query.filter(scheduled_runs::task.eq(task));
    }
    if let Some(outcome) = filter.outcome {
        query = query.filter(scheduled_runs::outcome.eq(outcome.as_str()));
    }
    if let Some(after) = after {
        query = query.filter(scheduled_runs::id.lt(after));
    }
    let rows: Vec<RunRow> = query.load(connection).await?;
    rows.into_iter().map(Run::try_from).collect()
}

/// The most recent run of each task, in the order of `tasks`. A run that has only been requested counts too.
pub async fn latest(connection: &mut AsyncPgConnection, tasks: &[&str]) -> Result<Vec<Option<Run>>> {
    let mut latest = Vec::new();
    for task in tasks {
        let row: Option<RunRow> = scheduled_runs::table
            .select(RunRow::as_select())
            .filter(scheduled_runs::task.eq(task))
            .order(scheduled_runs::id.desc())
            .first(connection)
            .await
            .optional()?;
        latest.push(row.map(Run::try_from).transpose()?);
    }
    Ok(latest)
}
