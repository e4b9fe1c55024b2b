//! The history of recurring work, and the memory of what is due: one row a run.
//!
//! A due time is taken by inserting its row ([`begin`]); the unique key on task and due time lets one instance do so,
//! whoever believes to lead. A row that says `running` while the leader runs nothing is of an instance that died or lost
//! the lead ([`abandon_orphans`]).

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

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the table and in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            fn read(text: &str) -> Result<Self> {
                let found = Self::ALL.iter().find(|known| known.as_str() == text);
                found.copied().ok_or_else(|| Error::internal(format_args!("an unknown word: {text}")))
            }
        }
    };
}

words! {
    /// Why a task is run.
    Cause {
        /// Its time has come.
        Schedule = "schedule",
        /// The run before it failed, or was abandoned.
        Retry = "retry",
        /// Somebody asked for it.
        Request = "request",
    }
}

words! {
    /// What became of a run.
    Outcome {
        /// It waits for the leader.
        Requested = "requested",
        /// It is under way.
        Running = "running",
        /// It did what it was to do.
        Completed = "completed",
        /// It could not.
        Failed = "failed",
        /// Its instance died, or stopped leading, before it was over.
        Abandoned = "abandoned",
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The row.
    pub id: Uuid,
    /// The task's name.
    pub task: String,
    /// Why it was run.
    pub cause: Cause,
    /// When it was due.
    pub due_at: DateTime<Utc>,
    /// What became of it.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
    /// What it did, in figures.
    pub detail: Value,
    /// The code of its error.
    pub error_type: Option<String>,
    /// Its error, without personal data.
    pub error_message: Option<String>,
    /// Who ran it.
    pub instance: Option<String>,
    /// Who asked for it.
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

/// A run that is about to begin.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// The row.
    pub id: Uuid,
    /// The task's name.
    pub task: &'a str,
    /// Why.
    pub cause: Cause,
    /// When it was due.
    pub due_at: DateTime<Utc>,
    /// Now.
    pub started_at: DateTime<Utc>,
    /// Who runs it.
    pub instance: &'a str,
}

/// Takes a due time; `false` when somebody else has, or the task is under way.
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

/// Takes a run that somebody asked for; `false` when somebody else has, or the task is under way.
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

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Completed, failed or abandoned.
    pub outcome: Outcome,
    /// What it did.
    pub detail: Value,
    /// Why it did no more: code and text.
    pub error: Option<(String, String)>,
}

/// Writes down how a run ended; `false` when another leader has given it up already.
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

/// Gives up every run that is under way, for a leader that runs none; gives the names of their tasks.
pub async fn abandon_orphans(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<Vec<String>> {
    let running = scheduled_runs::table.filter(scheduled_runs::outcome.eq(Outcome::Running.as_str()));
    Ok(diesel::update(running)
        .set((
            scheduled_runs::outcome.eq(Outcome::Abandoned.as_str()),
            scheduled_runs::finished_at.eq(now),
            scheduled_runs::error_type.eq("abandoned"),
            scheduled_runs::error_message.eq("its instance stopped, or lost the lead, before it was over"),
        ))
        .returning(scheduled_runs::task)
        .get_results(connection)
        .await?)
}

/// Asks the leader to run a task; gives the run that waits, whether it is this one or was there before.
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
    // Ours, which the leader may have begun already, or the one that waited before it.
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

/// Deletes up to `limit` runs that were over before `before`; returns how many. The last of each task's schedule stays,
/// for what is due follows from it.
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
