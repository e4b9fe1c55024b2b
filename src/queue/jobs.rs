//! Lists unfinished jobs, and counts jobs and dead letters.

use uuid::Uuid;

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::jobs::{dead_letters, depth, lane_figures, list_page};

pub use crate::storage::jobs::{DeadLetters, JobFilter, JobOrder, LaneFigures, ListedJob, QUEUE_COUNT_LIMIT};
pub use crate::storage::types::JobStatus;

/// The numbers of jobs and dead letters, counted up to [`QUEUE_COUNT_LIMIT`].
#[derive(Debug)]
pub struct QueueFigures {
    /// Waiting and running jobs.
    pub depth: i64,
    /// Waiting and running jobs by lane and status.
    pub lanes: Vec<LaneFigures>,
    /// Dead letters by status.
    pub dead_letters: Vec<DeadLetters>,
}

/// Lists jobs, newest first: at most `limit` that were created before `before`.
///
/// # Errors
/// If the database fails.
pub async fn list(
    resources: &Resources,
    filter: &JobFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ListedJob>> {
    list_page(&mut *resources.database.get().await?, filter, after, limit).await
}

/// The current numbers of jobs and dead letters.
///
/// # Errors
/// If the database fails.
pub async fn figures(resources: &Resources) -> Result<QueueFigures> {
    let mut connection = resources.database.get().await?;
    let lanes = lane_figures(&mut connection).await?;
    let dead_letters = dead_letters(&mut connection).await?;
    Ok(QueueFigures { depth: depth(&mut connection).await?, lanes, dead_letters })
}
