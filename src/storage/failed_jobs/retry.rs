//! Retrying dead letters.
//!
//! A retry queues a new job with its own identifier and attempts. If the application is still `PENDING` or `VALIDATING`,
//! nothing else is needed. If the failure left it `UNDER_REVIEW`, it is decided again without leaving that status first,
//! as after a bureau's outage: a row in `provider_retries` permits the re-decision, and a decision by a reviewer removes
//! the row. The row's `next_at` is infinity, so a job that fails because of a bug is never retried automatically.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{DeadLetterFilter, FailedJob, Operator, check, lock, settle};
use crate::domain::status::Status;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::jobs::{NewJob, Priority, enqueue};
use crate::storage::schema::{applications, failed_jobs, pending_jobs, provider_retries};
use crate::storage::transaction::Abort;
use crate::storage::types::{FailedJobStatus, PgCountry, PgFailedJobStatus, PgStatus};

/// The reason why a dead letter cannot be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The dead letter was reprocessed or ignored.
    NotRetryable,
    /// The application has meanwhile been decided by a person or another job.
    Decided,
    Deleted,
    Missing,
    /// A job for the same work is already active.
    AlreadyQueued,
}

impl Obstacle {
    /// The stable code in responses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::Decided => "application_decided",
            Self::Deleted => "application_deleted",
            Self::Missing => "application_missing",
            Self::AlreadyQueued => "already_queued",
        }
    }

    fn error(self) -> Error {
        let text = match self {
            Self::NotRetryable => "The dead letter can no longer be retried.",
            Self::Decided => "The application has been decided since the job failed.",
            Self::Deleted => "The application is deleted.",
            Self::Missing => "The application does not exist.",
            Self::AlreadyQueued => "A job for the same work is already active.",
        };
        Error::Conflict(PublicMessage::new(text))
    }
}

/// What a retry requires.
enum RetryRequirement {
    /// Queueing the job.
    Queue,
    /// Queueing the job and permitting a re-decision.
    DecideAgain(PgCountry),
}

/// Retries a dead letter in the caller's transaction and returns it.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Conflict`] if the state of the dead letter or the application does not permit a
/// retry.
pub async fn retry(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    operator: &Operator,
) -> Result<FailedJob, Abort> {
    let letter = lock(connection, id).await?;
    check(&letter.status, FailedJobStatus::Reprocessed)?;
    match requeue(connection, &letter, operator, false).await? {
        Ok(letter) => Ok(letter),
        Err(obstacle) => Err(obstacle.error().into()),
    }
}

/// A retry of many dead letters.
#[derive(Debug, Clone)]
pub struct RetryAll {
    /// Selects the dead letters. Without a status, it selects all that can be retried.
    pub filter: DeadLetterFilter,
    /// The maximum number of dead letters; the oldest come first.
    pub limit: i64,
    /// Whether to only report what a retry would do.
    pub dry_run: bool,
}

/// The result of retrying many dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// The number of dead letters that the filter matched, up to the limit.
    pub matched: u64,
    /// The number of jobs that were queued or, in a dry run, would be queued.
    pub retried: u64,
    /// The number of dead letters that were not retried, by reason.
    pub skipped: BTreeMap<Obstacle, u64>,
    /// Whether the filter matches more dead letters than the limit.
    pub more: bool,
}

/// Retries dead letters in the caller's transaction, which locks all of them. Applications are locked in the order of
/// their identifiers, as in every transaction.
pub async fn retry_all(
    connection: &mut AsyncPgConnection,
    wanted: &RetryAll,
    operator: &Operator,
) -> Result<Retried, Abort> {
    let mut query = wanted.filter.query();
    if wanted.filter.status.is_none() {
        let retryable = FailedJobStatus::ALL
            .into_iter()
            .map(|(status, _)| status)
            .filter(|status| status.next().contains(&FailedJobStatus::Reprocessed));
        query =
            query.filter(failed_jobs::status.eq_any(retryable.map(PgFailedJobStatus).collect::<Vec<_>>()));
    }
    let mut ids: Vec<Uuid> = query
        .select(failed_jobs::id)
        .order(failed_jobs::id.asc())
        .limit(wanted.limit.saturating_add(1))
        .load(connection)
        .await?;
    let limit = usize::try_from(wanted.limit).unwrap_or(0);
    let mut outcome = Retried { more: ids.len() > limit, ..Retried::default() };
    ids.truncate(limit);
    let letters: Vec<FailedJob> = failed_jobs::table
        .select(FailedJob::as_select())
        .filter(failed_jobs::id.eq_any(ids))
        .order((failed_jobs::application_id.asc(), failed_jobs::id.asc()))
        .for_update()
        .load(connection)
        .await?;
    for letter in letters {
        outcome.matched += 1;
        let done = if letter
            .status
            .0
            .known()
            .is_some_and(|status| status.next().contains(&FailedJobStatus::Reprocessed))
        {
            requeue(connection, &letter, operator, wanted.dry_run).await?.map(drop)
        } else {
            Err(Obstacle::NotRetryable)
        };
        match done {
            Ok(()) => outcome.retried += 1,
            Err(obstacle) => *outcome.skipped.entry(obstacle).or_default() += 1,
        }
    }
    Ok(outcome)
}

/// Queues the job of a locked dead letter again, unless there is an obstacle or it is a dry run.
async fn requeue(
    connection: &mut AsyncPgConnection,
    letter: &FailedJob,
    operator: &Operator,
    dry_run: bool,
) -> Result<Result<FailedJob, Obstacle>, Abort> {
    let need = match lock_and_examine(connection, letter).await? {
        Ok(need) => need,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    if has_active_job(connection, letter).await? {
        return Ok(Err(Obstacle::AlreadyQueued));
    }
    if dry_run {
        return Ok(Ok(letter.clone()));
    }
    if let (RetryRequirement::DecideAgain(country), Some(id)) = (need, letter.application_id) {
        allow_redecision(connection, id, country).await?;
    }
    match queue_again(connection, letter, operator).await? {
        None => Ok(Err(Obstacle::AlreadyQueued)),
        Some(job) => {
            let settled =
                settle(connection, letter, FailedJobStatus::Reprocessed, Some(job), operator).await?;
            Ok(Ok(settled))
        }
    }
}

/// Locks the application and returns what a retry requires. An application `UNDER_REVIEW` can be decided again only if it
/// has a recorded error or awaits a re-decision. A decision clears the recorded error.
async fn lock_and_examine(
    connection: &mut AsyncPgConnection,
    letter: &FailedJob,
) -> Result<Result<RetryRequirement, Obstacle>, Abort> {
    let Some(id) = letter.application_id else { return Ok(Ok(RetryRequirement::Queue)) };
    let found: Option<(PgStatus, PgCountry, bool, bool)> = applications::table
        .select((
            applications::status,
            applications::country,
            applications::deleted_at.is_not_null(),
            applications::validation_errors.is_not_null(),
        ))
        .filter(applications::id.eq(id))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    let Some((status, country, deleted, failed)) = found else { return Ok(Err(Obstacle::Missing)) };
    if deleted {
        return Ok(Err(Obstacle::Deleted));
    }
    Ok(match status.0 {
        Status::Pending | Status::Validating => Ok(RetryRequirement::Queue),
        Status::UnderReview if failed || is_awaiting_redecision(connection, id).await? => {
            Ok(RetryRequirement::DecideAgain(country))
        }
        Status::UnderReview | Status::Approved | Status::Rejected | Status::Cancelled | Status::Completed => {
            Err(Obstacle::Decided)
        }
    })
}

async fn is_awaiting_redecision(
    connection: &mut AsyncPgConnection,
    application: Uuid,
) -> Result<bool, Abort> {
    let waiting = provider_retries::table.filter(provider_retries::application_id.eq(application));
    Ok(diesel::select(diesel::dsl::exists(waiting)).get_result(connection).await?)
}

async fn has_active_job(connection: &mut AsyncPgConnection, letter: &FailedJob) -> Result<bool, Abort> {
    let Some(id) = letter.application_id else { return Ok(false) };
    let active = pending_jobs::table
        .filter(pending_jobs::application_id.eq(id))
        .filter(pending_jobs::task_name.eq(&letter.task_name));
    Ok(diesel::select(diesel::dsl::exists(active)).get_result(connection).await?)
}

async fn allow_redecision(
    connection: &mut AsyncPgConnection,
    application: Uuid,
    country: PgCountry,
) -> Result<(), Abort> {
    let never = diesel::dsl::sql::<diesel::sql_types::Timestamptz>("'infinity'");
    diesel::insert_into(provider_retries::table)
        .values((
            provider_retries::application_id.eq(application),
            provider_retries::country.eq(country),
            provider_retries::next_at.eq(never),
        ))
        .on_conflict(provider_retries::application_id)
        .do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

/// Queues the job of a dead letter again and returns the new id, or `None` if a concurrent transaction queued a job for the
/// application.
async fn queue_again(
    connection: &mut AsyncPgConnection,
    letter: &FailedJob,
    operator: &Operator,
) -> Result<Option<Uuid>, Abort> {
    let args = failed_jobs::table.select(failed_jobs::job_args).filter(failed_jobs::id.eq(letter.id));
    let args: serde_json::Value = args.first(connection).await?;
    let job = NewJob {
        task_name: letter.task_name.clone(),
        application_id: letter.application_id,
        lane: letter.lane.clone(),
        args,
        priority: Priority::Retried,
        delay: Duration::ZERO,
        request_id: Some(operator.request_id.clone()),
        traceparent: operator.traceparent.clone(),
    };
    Ok(enqueue(connection, &job).await?)
}
