//! Summaries of the tasks' histories. The next due time of a task is computed from its summary.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Cause, Outcome};
use crate::error::{Error, Result};
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// The last run of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRun {
    pub cause: Cause,
    pub outcome: Outcome,
    /// `None` while it is running.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The summary of one task's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskRecord {
    /// The latest due time of the schedule that has been handled.
    pub scheduled_until: Option<DateTime<Utc>>,
    /// The last run that began.
    pub last: Option<LastRun>,
    /// A requested run, and when it was requested.
    pub requested: Option<(Uuid, DateTime<Utc>)>,
    /// The end of the last completed run.
    pub completed_at: Option<DateTime<Utc>>,
}

struct ReadRecords {
    tasks: Vec<String>,
}

impl FixedStatement for ReadRecords {
    const NAME: &'static str = "read_records";
    const SQL: &'static str = "\
        SELECT t.task, s.due_at AS scheduled_until, l.cause, l.outcome, l.finished_at, \
            q.id AS requested_id, q.due_at AS requested_at, c.finished_at AS completed_at \
        FROM unnest(?::text[]) AS t (task) \
        LEFT JOIN LATERAL (SELECT due_at FROM scheduled_runs r WHERE r.task = t.task AND r.cause = 'schedule' \
            ORDER BY due_at DESC LIMIT 1) s ON true \
        LEFT JOIN LATERAL (SELECT cause, outcome, finished_at FROM scheduled_runs r \
            WHERE r.task = t.task AND r.outcome <> 'requested' ORDER BY id DESC LIMIT 1) l ON true \
        LEFT JOIN scheduled_runs q ON q.task = t.task AND q.outcome = 'requested' \
        LEFT JOIN LATERAL (SELECT finished_at FROM scheduled_runs r \
            WHERE r.task = t.task AND r.outcome = 'completed' ORDER BY id DESC LIMIT 1) c ON true";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<Text>, _>(&self.tasks)
    }
}

#[derive(QueryableByName)]
struct RecordRow {
    #[diesel(sql_type = Text)]
    task: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    scheduled_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    cause: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    finished_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    requested_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    requested_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    completed_at: Option<DateTime<Utc>>,
}

impl RecordRow {
    fn record(self) -> Result<(String, TaskRecord)> {
        let last = self.cause.zip(self.outcome).map(|(cause, outcome)| {
            Ok::<_, Error>(LastRun {
                cause: Cause::read(&cause)?,
                outcome: Outcome::read(&outcome)?,
                finished_at: self.finished_at,
            })
        });
        let record = TaskRecord {
            scheduled_until: self.scheduled_until,
            last: last.transpose()?,
            requested: self.requested_id.zip(self.requested_at),
            completed_at: self.completed_at,
        };
        Ok((self.task, record))
    }
}

/// The records of `tasks`, in their order.
pub async fn records(connection: &mut AsyncPgConnection, tasks: &[&str]) -> Result<Vec<TaskRecord>> {
    let statement = ReadRecords { tasks: tasks.iter().map(ToString::to_string).collect() };
    let rows: Vec<RecordRow> = Prepared(statement).load(connection).await?;
    let mut known =
        rows.into_iter().map(RecordRow::record).collect::<Result<HashMap<String, TaskRecord>>>()?;
    Ok(tasks.iter().map(|task| known.remove(*task).unwrap_or_default()).collect())
}
