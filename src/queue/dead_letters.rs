//! What operators do about dead letters: jobs that used up their attempts.

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
    FailedJob, LetterAction, LetterFilter, Operator, Retried, RetryAll, WholeLetter,
};
pub use crate::storage::types::FailedJobStatus;

/// What an operator may do to one dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Queue its job again, as a new job with fresh attempts.
    Retry,
    /// Set it aside.
    Ignore,
    /// Mark it as looked at.
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

    async fn take(
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

/// Dead letters, newest first, at most `limit`, made before `before`.
///
/// # Errors
/// When the database fails.
pub async fn list(
    resources: &Resources,
    filter: &LetterFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<FailedJob>> {
    let mut connection = resources.database.get().await?;
    failed_jobs::list_page(&mut connection, filter, before, limit).await
}

/// A dead letter and what was done about it, oldest first.
///
/// # Errors
/// [`Error::NotFound`](crate::error::Error::NotFound), or when the database fails.
pub async fn get(resources: &Resources, id: Uuid) -> Result<(WholeLetter, Vec<LetterAction>)> {
    failed_jobs::get(&mut *resources.database.get().await?, id).await
}

/// Takes a step with one dead letter, once for its key where it has one. `on_commit` is called after the commit.
///
/// # Errors
/// [`Error::NotFound`](crate::error::Error::NotFound); [`Error::Conflict`](crate::error::Error::Conflict) when the letter
/// does not allow the step; as [`idempotency::once`].
pub async fn work(
    resources: &Resources,
    on_commit: &(dyn Fn(Written) + Send + Sync),
    id: Uuid,
    step: Step,
    operator: &Operator,
    keyed: Option<&Keyed<'_, FailedJob>>,
) -> Result<Once<FailedJob>> {
    let Resources { database, logger, .. } = resources;
    let take = async |connection: &mut AsyncPgConnection| step.take(connection, id, operator).await;
    let done = idempotency::once(database, logger, step.name(), keyed, take).await?;
    if let Once::Made(_) = done {
        warn!(logger, "an operator worked on a dead letter"; "step" => step.name(),
            "failed_job_id" => %id, "account" => &operator.account, "request_id" => &operator.request_id);
        on_commit(Written { jobs: step == Step::Retry, events: false });
    }
    Ok(done)
}

/// Queues the jobs of many dead letters again, in one transaction, or finds out what that would do. `on_commit` is called
/// after the commit.
///
/// # Errors
/// As [`idempotency::once`].
pub async fn retry_all(
    resources: &Resources,
    on_commit: &(dyn Fn(Written) + Send + Sync),
    wanted: &RetryAll,
    operator: &Operator,
    keyed: Option<&Keyed<'_, Retried>>,
) -> Result<Once<Retried>> {
    let Resources { database, logger, .. } = resources;
    let retry =
        async |connection: &mut AsyncPgConnection| failed_jobs::retry_all(connection, wanted, operator).await;
    let done = idempotency::once(database, logger, "retry_failed_jobs", keyed, retry).await?;
    if let (Once::Made(_), false) = (&done, wanted.dry_run) {
        warn!(logger, "an operator retried dead letters"; "account" => &operator.account,
            "request_id" => &operator.request_id);
        on_commit(Written { jobs: true, events: false });
    }
    Ok(done)
}
