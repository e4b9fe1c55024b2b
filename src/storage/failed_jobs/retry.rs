//! Queueing a dead job again.
//!
//! The new job has an identifier and attempts of its own. For an application that still waits to be decided that is all; one
//! that its dead_letter left `UNDER_REVIEW` is decided again in place, as after an outage of its bureau: a row of
//! `provider_retries` is the leave to do so, and a human who decides first takes that leave away. Such a row's `next_at` is
//! infinity, so that nobody but an operator tries again what dies of a defect.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{FailedJob, LetterFilter, Operator, check, lock, settle};
use crate::domain::status::Status;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::jobs::{NewJob, Priority, enqueue};
use crate::storage::schema::{applications, failed_jobs, pending_jobs, provider_retries};
use crate::storage::transaction::Abort;
use crate::storage::types::{FailedJobStatus, PgCountry, PgFailedJobStatus, PgStatus};

/// Why a dead job is not queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Its letter was reprocessed or ignored.
    NotRetryable,
    /// Its application was decided meanwhile, by a human, a bureau or another job.
    Decided,
    /// Its application was deleted.
    Deleted,
    /// Its application does not exist.
    Missing,
    /// A job for the same work is already active.
    AlreadyQueued,
}

impl Obstacle {
    /// The stable word for it in answers.
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
            Self::Decided => "The application was decided meanwhile: that stands.",
            Self::Deleted => "The application was deleted.",
            Self::Missing => "The application does not exist.",
            Self::AlreadyQueued => "A job for the same work is already active.",
        };
        Error::Conflict(PublicMessage::new(text))
    }
}

/// What a job's application makes of a retry.
enum Need {
    /// It only has to be queued.
    Queue,
    /// It has to be decided again in place.
    DecideAgain(PgCountry),
}

/// Queues a dead job again and gives its letter. Runs in the caller's transaction.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when the letter or the application do not allow it; or when the database fails.
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

/// Which dead jobs are queued again together.
#[derive(Debug, Clone)]
pub struct RetryAll {
    /// Narrowed to these. Without a status: those that can be retried.
    pub filter: LetterFilter,
    /// At most so many, the oldest first.
    pub limit: i64,
    /// Only look what would happen.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// Letters that the filter found, at most the limit.
    pub matched: u64,
    /// Jobs that were queued, or would be.
    pub retried: u64,
    /// How many were not, by reason.
    pub skipped: BTreeMap<Obstacle, u64>,
    /// The filter finds more than the limit.
    pub more: bool,
}

/// Queues dead jobs again. Runs in the caller's transaction, which holds the locks of all of them: applications are locked in
/// the order of their identifiers, as everybody does.
///
/// # Errors
/// When the database fails.
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

/// Queues the job of a locked letter again, unless something is in the way or it is only asked.
async fn requeue(
    connection: &mut AsyncPgConnection,
    letter: &FailedJob,
    operator: &Operator,
    dry_run: bool,
) -> Result<Result<FailedJob, Obstacle>, Abort> {
    let need = match need(connection, letter).await? {
        Ok(need) => need,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    if is_active(connection, letter).await? {
        return Ok(Err(Obstacle::AlreadyQueued));
    }
    if dry_run {
        return Ok(Ok(letter.clone()));
    }
    if let (Need::DecideAgain(country), Some(id)) = (need, letter.application_id) {
        allow_redecision(connection, id, country).await?;
    }
    match queue(connection, letter, operator).await? {
        None => Ok(Err(Obstacle::AlreadyQueued)),
        Some(job) => {
            let settled =
                settle(connection, letter, FailedJobStatus::Reprocessed, Some(job), operator).await?;
            Ok(Ok(settled))
        }
    }
}

/// What the application needs, under its lock. `UNDER_REVIEW` needs a decision as long as nothing but the failure has led
/// there: a decision by anybody takes the noted error away.
async fn need(
    connection: &mut AsyncPgConnection,
    letter: &FailedJob,
) -> Result<Result<Need, Obstacle>, Abort> {
    let Some(id) = letter.application_id else { return Ok(Ok(Need::Queue)) };
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
        Status::Pending | Status::Validating => Ok(Need::Queue),
        Status::UnderReview if failed || waits_for_its_bureau(connection, id).await? => {
            Ok(Need::DecideAgain(country))
        }
        Status::UnderReview | Status::Approved | Status::Rejected | Status::Cancelled | Status::Completed => {
            Err(Obstacle::Decided)
        }
    })
}

async fn waits_for_its_bureau(connection: &mut AsyncPgConnection, application: Uuid) -> Result<bool, Abort> {
    let waiting = provider_retries::table.filter(provider_retries::application_id.eq(application));
    Ok(diesel::select(diesel::dsl::exists(waiting)).get_result(connection).await?)
}

async fn is_active(connection: &mut AsyncPgConnection, letter: &FailedJob) -> Result<bool, Abort> {
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

/// The new job; `None` when another one took its place at this moment.
async fn queue(
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
