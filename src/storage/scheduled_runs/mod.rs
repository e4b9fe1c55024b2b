//! The history of scheduled tasks, which also determines what is due. There is one row per run.
//!
//! A run is claimed by inserting its row ([`begin`]). The unique key on task and due time ensures that only one instance
//! can claim it, even if several act as the leader. While the leader itself runs nothing, a row with the outcome `running`
//! belongs to an instance that ended or lost leadership ([`abandon_orphans`]).

mod list;
mod records;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

pub use self::list::{RunFilter, latest, list_page};
pub use self::records::{LastRun, TaskRecord, records};
use super::schema::scheduled_runs;
use crate::error::{Error, Result};

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value in the table and in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }

            fn read(text: &str) -> Result<Self> {
                let found = Self::ALL.iter().find(|known| known.as_str() == text);
                found.copied().ok_or_else(|| Error::internal(format_args!("an unknown value: {text}")))
            }
        }
    };
}

labels! {
    /// Why a task runs.
    Cause {
        /// It was due by its schedule.
        Schedule = "schedule",
        /// The previous run failed or was abandoned.
        Retry = "retry",
        /// An operator requested it.
        Request = "request",
    }
}

labels! {
    /// The state or result of a run.
    Outcome {
        /// Waiting for the leader.
        Requested = "requested",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        /// The instance died or lost leadership during the run.
        Abandoned = "abandoned",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: Uuid,
    pub task: String,
    pub cause: Cause,
    pub due_at: DateTime<Utc>,
    pub outcome: Outcome,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// The figures that the task reported.
    pub detail: Value,
    /// The error code.
    pub error_type: Option<String>,
    /// The error message, without personal data.
    pub error_message: Option<String>,
    /// The instance that ran it.
    pub instance: Option<String>,
    /// The account that requested it.
    pub requested_by: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = scheduled_runs, check_for_backend(diesel::pg::Pg))]
struct RunRow {
    id: Uuid,
    task: String,
    cause: String,
    due_at: DateTime<Utc>,
    outcome: String,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    detail: Value,
    error_type: Option<String>,
    error_message: Option<String>,
    instance: Option<String>,
    requested_by: Option<String>,
}

impl TryFrom<RunRow> for Run {
    type Error = Error;

    fn try_from(row: RunRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            task: row.task,
            cause: Cause::read(&row.cause)?,
            due_at: row.due_at,
            outcome: Outcome::read(&row.outcome)?,
            started_at: row.started_at,
            finished_at: row.finished_at,
            detail: row.detail,
            error_type: row.error_type,
            error_message: row.error_message,
            instance: row.instance,
            requested_by: row.requested_by,
        })
    }
}

/// A run to begin.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    pub id: Uuid,
    pub task: &'a str,
    pub cause: Cause,
    pub due_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    /// The instance that runs it.
    pub instance: &'a str,
}

/// Claims a due time. Returns `false` if another instance did, or if the task is running.
pub async fn begin(connection: &mut AsyncPgConnection, run: &NewRun<'_>) -> Result<bool> {
    let inserted = diesel::insert_into(scheduled_runs::table)
        .values((
            scheduled_runs::id.eq(run.id),
            scheduled_runs::task.eq(run.task),
            scheduled_runs::cause.eq(run.cause.as_str()),
            scheduled_runs::due_at.eq(run.due_at),
            scheduled_runs::outcome.eq(Outcome::Running.as_str()),
            scheduled_runs::started_at.eq(run.started_at),
            scheduled_runs::instance.eq(run.instance),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(inserted == 1)
}

/// Claims a requested run. Returns `false` if another instance did, or if the task is running.
pub async fn begin_requested(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    now: DateTime<Utc>,
    instance: &str,
) -> Result<bool> {
    let under_way = diesel::alias!(scheduled_runs as under_way);
    let tasks = under_way
        .select(under_way.field(scheduled_runs::task))
        .filter(under_way.field(scheduled_runs::outcome).eq(Outcome::Running.as_str()));
    let requested = scheduled_runs::table
        .filter(scheduled_runs::id.eq(id))
        .filter(scheduled_runs::outcome.eq(Outcome::Requested.as_str()))
        .filter(scheduled_runs::task.ne_all(tasks));
    let begun = diesel::update(requested)
        .set((
            scheduled_runs::outcome.eq(Outcome::Running.as_str()),
            scheduled_runs::started_at.eq(now),
            scheduled_runs::instance.eq(instance),
        ))
        .execute(connection)
        .await?;
    Ok(begun == 1)
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Completed, failed or abandoned.
    pub outcome: Outcome,
    /// The figures that the task reported.
    pub detail: Value,
    /// The error code and message.
    pub error: Option<(String, String)>,
}

/// Records the result of a run. Returns `false` if another leader has already abandoned the run.
pub async fn finish(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    now: DateTime<Utc>,
    ending: &Ending,
) -> Result<bool> {
    let (error_type, error_message) = ending.error.clone().unzip();
    let running = scheduled_runs::table
        .filter(scheduled_runs::id.eq(id))
        .filter(scheduled_runs::outcome.eq(Outcome::Running.as_str()));
    let finished = diesel::update(running)
        .set((
            scheduled_runs::outcome.eq(ending.outcome.as_str()),
            scheduled_runs::finished_at.eq(now),
            scheduled_runs::detail.eq(&ending.detail),
            scheduled_runs::error_type.eq(error_type),
            scheduled_runs::error_message.eq(error_message),
        ))
        .execute(connection)
        .await?;
    Ok(finished == 1)
}

/// Marks all running runs as abandoned. Only a leader that runs nothing itself may call this. Returns the names of the
/// runs' tasks.
pub async fn abandon_orphans(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<Vec<String>> {
    let running = scheduled_runs::table.filter(scheduled_runs::outcome.eq(Outcome::Running.as_str()));
    Ok(diesel::update(running)
        .set((
            scheduled_runs::outcome.eq(Outcome::Abandoned.as_str()),
            scheduled_runs::finished_at.eq(now),
            scheduled_runs::error_type.eq("abandoned"),
            scheduled_runs::error_message.eq("the instance stopped or lost leadership during the run"),
        ))
        .returning(scheduled_runs::task)
        .get_results(connection)
        .await?)
}

/// Requests a run of a task from the leader. Returns the waiting run, which may be from an earlier request.
pub async fn request(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    task: &str,
    now: DateTime<Utc>,
    requested_by: &str,
) -> Result<Run> {
    diesel::insert_into(scheduled_runs::table)
        .values((
            scheduled_runs::id.eq(id),
            scheduled_runs::task.eq(task),
            scheduled_runs::cause.eq(Cause::Request.as_str()),
            scheduled_runs::due_at.eq(now),
            scheduled_runs::outcome.eq(Outcome::Requested.as_str()),
            scheduled_runs::requested_by.eq(requested_by),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    // The new row, which the leader may already have begun, or an earlier request that is still waiting.
    let waiting =
        scheduled_runs::table
            .select(RunRow::as_select())
            .filter(scheduled_runs::id.eq(id).or(
                scheduled_runs::task.eq(task).and(scheduled_runs::outcome.eq(Outcome::Requested.as_str())),
            ))
            .order(scheduled_runs::id.desc())
            .first::<RunRow>(connection)
            .await
            .optional()?;
    waiting.map_or_else(
        || Err(Error::InFlight { retry_after: std::time::Duration::from_secs(1) }),
        Run::try_from,
    )
}

/// Deletes up to `limit` runs that finished before `before` and returns how many it deleted. The last scheduled run of
/// each task is kept, because it determines what is due.
pub async fn delete_expired(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    let delete = "DELETE FROM scheduled_runs WHERE id IN (SELECT r.id FROM scheduled_runs r \
        WHERE r.finished_at < $1 AND (r.cause <> 'schedule' OR EXISTS (SELECT FROM scheduled_runs later \
            WHERE later.task = r.task AND later.cause = 'schedule' AND later.due_at > r.due_at)) \
        ORDER BY r.id LIMIT $2)";
    let delete = diesel::sql_query(delete).bind::<Timestamptz, _>(before).bind::<BigInt, _>(i64::from(limit));
    Ok(delete.execute(connection).await?)
}
