//! Dead letters: jobs that failed for good, and what operators make of them.
//!
//! A letter is worked on under its row lock, so that of two operators one wins and the other is told what became of it. Which
//! status may follow which is [`FailedJobStatus::next`]. Every step leaves a row in `failed_job_actions`, which nobody can
//! change. Locks are taken in the order letter, application, job; a dead_letter takes the last two in the same order and only adds
//! letters.

mod list;
mod retry;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

pub use self::list::{LetterFilter, list_page};
pub use self::retry::{Obstacle, Retried, RetryAll, retry, retry_all};
use super::schema::{failed_job_actions, failed_jobs};
use super::types::{FailedJobStatus, PgFailedJobStatus, PgLabel};
use crate::domain::ids::ApplicationId;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::transaction::Abort;

/// A job that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = failed_jobs, check_for_backend(diesel::pg::Pg))]
pub struct FailedJob {
    /// The dead letter's identifier.
    pub id: Uuid,
    /// The job's.
    pub job_id: Uuid,
    /// What it was to do.
    pub task_name: String,
    /// The lane that it waited in.
    pub lane: String,
    /// The application that it was about.
    pub application_id: Option<Uuid>,
    /// The code of its last error.
    pub error_type: String,
    /// The last error, for operators.
    pub error_message: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What operators made of it.
    pub status: PgLabel<FailedJobStatus>,
    /// The request that had led to the job.
    pub request_id: Option<String>,
    /// The job that was queued in its place.
    pub retried_as: Option<Uuid>,
    /// When it was given up.
    pub created_at: DateTime<Utc>,
    /// When an operator last did something about it.
    pub updated_at: DateTime<Utc>,
}

/// A dead letter with everything that was kept of its job.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = failed_jobs, check_for_backend(diesel::pg::Pg))]
pub struct WholeLetter {
    /// The letter.
    #[diesel(embed)]
    pub letter: FailedJob,
    /// The job's arguments.
    pub job_args: Value,
    /// The chain of causes, where there is one.
    pub backtrace: Option<String>,
}

/// What an operator did to a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = failed_job_actions, check_for_backend(diesel::pg::Pg))]
pub struct LetterAction {
    /// `retry`, `ignore` or `review`.
    pub action: String,
    /// The status before.
    pub old_status: PgLabel<FailedJobStatus>,
    /// The status after.
    pub new_status: PgLabel<FailedJobStatus>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The request.
    pub request_id: Option<String>,
    /// The job that a retry queued.
    pub job_id: Option<Uuid>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Who works on letters, and why.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The account.
    pub account: String,
    /// Why.
    pub reason: String,
    /// The request.
    pub request_id: String,
    /// Its W3C trace context.
    pub traceparent: Option<String>,
}

/// The dead letters about an application, newest first.
pub async fn list_of_application(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Vec<FailedJob>> {
    Ok(failed_jobs::table
        .select(FailedJob::as_select())
        .filter(failed_jobs::application_id.eq(id.as_uuid()))
        .order(failed_jobs::id.desc())
        .load(connection)
        .await?)
}

/// One dead letter and what was done to it, oldest first.
///
/// # Errors
/// [`Error::NotFound`], or when the database fails.
pub async fn get(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(WholeLetter, Vec<LetterAction>)> {
    let letter = failed_jobs::table
        .select(WholeLetter::as_select())
        .filter(failed_jobs::id.eq(id))
        .first(connection)
        .await
        .optional()?
        .ok_or(Error::NotFound("dead letter"))?;
    let actions = failed_job_actions::table
        .select(LetterAction::as_select())
        .filter(failed_job_actions::failed_job_id.eq(id))
        .order(failed_job_actions::id.asc())
        .load(connection)
        .await?;
    Ok((letter, actions))
}

/// Marks a letter as reviewed or ignored. Runs in the caller's transaction.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Conflict`] when it may not become that any more, or when the database fails.
pub async fn mark(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    status: FailedJobStatus,
    operator: &Operator,
) -> Result<FailedJob, Abort> {
    let letter = lock(connection, id).await?;
    check(&letter.status, status)?;
    settle(connection, &letter, status, None, operator).await
}

async fn lock(connection: &mut AsyncPgConnection, id: Uuid) -> Result<FailedJob, Abort> {
    let letter = failed_jobs::table
        .select(FailedJob::as_select())
        .filter(failed_jobs::id.eq(id))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(letter.ok_or(Error::NotFound("dead letter"))?)
}

/// # Errors
/// [`Error::Conflict`] with both statuses, unless the one may follow the other; [`Error::UnknownLabel`] for a status that
/// this version does not know.
fn check(from: &PgLabel<FailedJobStatus>, to: FailedJobStatus) -> Result<()> {
    let unknown = || Error::unknown_label("status of a dead letter", from.0.text(FailedJobStatus::as_str));
    let from = from.0.known().ok_or_else(unknown)?;
    if from.next().contains(&to) {
        return Ok(());
    }
    let (from, to) = (from.as_str(), to.as_str());
    let text = format!("The dead letter is {from}, which cannot become {to}.");
    Err(Error::Conflict(PublicMessage::new(text)))
}

/// Gives a locked letter its new status, with the job that was queued in its place, and notes who did.
async fn settle(
    connection: &mut AsyncPgConnection,
    letter: &FailedJob,
    status: FailedJobStatus,
    job_id: Option<Uuid>,
    operator: &Operator,
) -> Result<FailedJob, Abort> {
    let unknown = || Error::unknown_label("status of a dead letter", letter.id);
    let action = match status {
        FailedJobStatus::Reprocessed => "retry",
        FailedJobStatus::Ignored => "ignore",
        FailedJobStatus::Pending | FailedJobStatus::Reviewed => "review",
    };
    diesel::insert_into(failed_job_actions::table)
        .values((
            failed_job_actions::failed_job_id.eq(letter.id),
            failed_job_actions::action.eq(action),
            failed_job_actions::old_status.eq(letter
                .status
                .0
                .known()
                .map(PgFailedJobStatus)
                .ok_or_else(unknown)?),
            failed_job_actions::new_status.eq(PgFailedJobStatus(status)),
            failed_job_actions::actor.eq(&operator.account),
            failed_job_actions::reason.eq(&operator.reason),
            failed_job_actions::request_id.eq(&operator.request_id),
            failed_job_actions::job_id.eq(job_id),
        ))
        .execute(connection)
        .await?;
    Ok(diesel::update(failed_jobs::table.filter(failed_jobs::id.eq(letter.id)))
        .set((
            failed_jobs::status.eq(PgFailedJobStatus(status)),
            failed_jobs::retried_as.eq(job_id),
            failed_jobs::updated_at.eq(diesel::dsl::now),
        ))
        .returning(FailedJob::as_returning())
        .get_result(connection)
        .await?)
}
