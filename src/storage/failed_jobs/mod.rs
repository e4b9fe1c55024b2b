//! Dead letters: jobs that failed permanently, and the actions of operators on them.
//!
//! A dead letter is changed under its row lock. If two operators change it at the same time, one succeeds and the other
//! gets a conflict that states the new status. [`FailedJobStatus::next`] defines the permitted transitions. Every action
//! adds an immutable row to `failed_job_actions`.
//!
//! To prevent deadlocks, rows are locked in the order dead letter, application, job. Moving a job to the dead letters
//! locks the application and the job in the same order, and inserts the dead letter without locking an existing one.

mod list;
mod retry;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

pub use self::list::{DeadLetterFilter, list_page};
pub use self::retry::{Obstacle, Retried, RetryAll, retry, retry_all};
use super::schema::{failed_job_actions, failed_jobs};
use super::types::{FailedJobStatus, PgFailedJobStatus, PgLabel};
use crate::domain::ids::ApplicationId;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::transaction::Abort;

/// A job that failed permanently.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = failed_jobs, check_for_backend(diesel::pg::Pg))]
pub struct FailedJob {
    pub id: Uuid,
    pub job_id: Uuid,
    /// The name of the job's task.
    pub task_name: String,
    pub lane: String,
    pub application_id: Option<Uuid>,
    pub error_type: String,
    /// The message of the last error, for operators.
    pub error_message: String,
    /// The number of attempts.
    pub attempts: i32,
    pub status: PgLabel<FailedJobStatus>,
    /// The request that caused the job.
    pub request_id: Option<String>,
    /// The job that a retry queued.
    pub retried_as: Option<Uuid>,
    /// When the job became a dead letter.
    pub created_at: DateTime<Utc>,
    /// The time of the last operator action.
    pub updated_at: DateTime<Utc>,
}

/// A dead letter with all stored data of its job.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = failed_jobs, check_for_backend(diesel::pg::Pg))]
pub struct DeadLetterDetails {
    #[diesel(embed)]
    pub letter: FailedJob,
    pub job_args: Value,
    /// The chain of causes of the last error, if it has one.
    pub backtrace: Option<String>,
}

/// An operator's action on a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = failed_job_actions, check_for_backend(diesel::pg::Pg))]
pub struct DeadLetterAction {
    /// `retry`, `ignore` or `review`.
    pub action: String,
    pub old_status: PgLabel<FailedJobStatus>,
    pub new_status: PgLabel<FailedJobStatus>,
    pub actor: String,
    pub reason: String,
    pub request_id: Option<String>,
    /// The job that a retry queued.
    pub job_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

/// The operator of an action, with the reason and the request.
#[derive(Debug, Clone)]
pub struct Operator {
    pub account: String,
    pub reason: String,
    pub request_id: String,
    pub traceparent: Option<String>,
}

/// The dead letters of an application, newest first.
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

/// A dead letter with its actions, oldest first.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn get(
    connection: &mut AsyncPgConnection,
    id: Uuid,
) -> Result<(DeadLetterDetails, Vec<DeadLetterAction>)> {
    let letter = failed_jobs::table
        .select(DeadLetterDetails::as_select())
        .filter(failed_jobs::id.eq(id))
        .first(connection)
        .await
        .optional()?
        .ok_or(Error::NotFound("dead letter"))?;
    let actions = failed_job_actions::table
        .select(DeadLetterAction::as_select())
        .filter(failed_job_actions::failed_job_id.eq(id))
        .order(failed_job_actions::id.asc())
        .load(connection)
        .await?;
    Ok((letter, actions))
}

/// Marks a dead letter as reviewed or ignored, in the caller's transaction.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Conflict`] if its status does not permit the transition.
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

/// Checks that a dead letter may change from one status to another.
///
/// # Errors
/// [`Error::Conflict`] with both statuses if not; [`Error::UnknownLabel`] for a status unknown to this version.
fn check(from: &PgLabel<FailedJobStatus>, to: FailedJobStatus) -> Result<()> {
    let unknown = || Error::unknown_label("status of a dead letter", from.0.text(FailedJobStatus::as_str));
    let from = from.0.known().ok_or_else(unknown)?;
    if from.next().contains(&to) {
        return Ok(());
    }
    let (from, to) = (from.as_str(), to.as_str());
    let text = format!("A dead letter with status {from} cannot be changed to {to}.");
    Err(Error::Conflict(PublicMessage::new(text)))
}

/// Sets the new status of a locked dead letter and the id of the job that a retry queued. Records the operator's action.
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
