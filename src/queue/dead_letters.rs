//! Operators' actions on dead letters: jobs that used up their attempts.

use diesel_async::AsyncPgConnection;
use slog::warn;
use uuid::Uuid;

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::failed_jobs;
use crate::storage::group_write::Written;
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::transaction::Abort;

pub use crate::storage::failed_jobs::{
    DeadLetterAction, DeadLetterDetails, DeadLetterFilter, FailedJob, Operator, Retried, RetryAll,
};
pub use crate::storage::types::FailedJobStatus;

/// An operator's action on a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Queue the job again, as a new job with new attempts.
    Retry,
    /// Mark the dead letter as requiring no action.
    Ignore,
    /// Mark the dead letter as reviewed.
    Review,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry_failed_job",
            Self::Ignore => "ignore_failed_job",
            Self::Review => "review_failed_job",
        }
    }

    async fn perform(
        self,
        connection: &mut AsyncPgConnection,
        id: Uuid,
        operator: &Operator,
    ) -> Result<FailedJob, Abort> {
        match self {
            Self::Retry => failed_jobs::retry(connection, id, operator).await,
            Self::Ignore => failed_jobs::mark(connection, id, FailedJobStatus::Ignored, operator).await,
            Self::Review => failed_jobs::mark(connection, id, FailedJobStatus::Reviewed, operator).await,
        }
    }
}

/// Lists dead letters, newest first: at most `limit` that were created before `before`.
///
/// # Errors
/// If the database fails.
pub async fn list(
    resources: &Resources,
    filter: &DeadLetterFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<FailedJob>> {
    let mut connection = resources.database.get().await?;
    failed_jobs::list_page(&mut connection, filter, before, limit).await
}

/// Returns a dead letter and the actions on it, oldest first.
///
/// # Errors
/// [`Error::NotFound`](crate::error::Error::NotFound); any error of the database.
pub async fn get(resources: &Resources, id: Uuid) -> Result<(DeadLetterDetails, Vec<DeadLetterAction>)> {
    failed_jobs::get(&mut *resources.database.get().await?, id).await
}

/// Performs an action on a dead letter. With an idempotency key, a repeated request does not repeat the action. Calls
/// `on_commit` after the commit.
///
/// # Errors
/// [`Error::NotFound`](crate::error::Error::NotFound); [`Error::Conflict`](crate::error::Error::Conflict) if the status
/// of the dead letter does not allow the action; the errors of [`idempotency::once`].
pub async fn work(
    resources: &Resources,
    on_commit: &(dyn Fn(Written) + Send + Sync),
    id: Uuid,
    step: Step,
    operator: &Operator,
    keyed: Option<&Keyed<'_, FailedJob>>,
) -> Result<Once<FailedJob>> {
    let Resources { database, logger, .. } = resources;
    let perform = async |connection: &mut AsyncPgConnection| step.perform(connection, id, operator).await;
    let done = idempotency::once(database, logger, step.name(), keyed, perform).await?;
    if let Once::Made(_) = done {
        warn!(logger, "operator action on a dead letter"; "step" => step.name(),
            "failed_job_id" => %id, "request_id" => &operator.request_id);
        on_commit(Written { jobs: step == Step::Retry, events: false });
    }
    Ok(done)
}

/// Queues the jobs of many dead letters again in one transaction. A dry run determines the result without changing
/// anything. Calls `on_commit` after the commit.
///
/// # Errors
/// As [`idempotency::once`].
pub async fn retry_all(
    resources: &Resources,
    on_commit: &(dyn Fn(Written) + Send + Sync),
    request: &RetryAll,
    operator: &Operator,
    keyed: Option<&Keyed<'_, Retried>>,
) -> Result<Once<Retried>> {
    let Resources { database, logger, .. } = resources;
    let retry = async |connection: &mut AsyncPgConnection| {
        failed_jobs::retry_all(connection, request, operator).await
    };
    let done = idempotency::once(database, logger, "retry_failed_jobs", keyed, retry).await?;
    if let (Once::Made(_), false) = (&done, request.dry_run) {
        warn!(logger, "dead letters retried by an operator"; "request_id" => &operator.request_id);
        on_commit(Written { jobs: true, events: false });
    }
    Ok(done)
}
