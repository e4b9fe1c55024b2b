//! The list of jobs for operators, without their arguments.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::storage::schema::pending_jobs;
use crate::storage::types::{JobStatus, PgJobStatus, PgLabel};

/// The order of listed jobs, by the time they were queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Selects and orders the jobs of a list. A field that is `None` matches every job.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub order: JobOrder,
    pub status: Option<JobStatus>,
    pub task: Option<String>,
    pub lane: Option<String>,
    pub application_id: Option<ApplicationId>,
}

/// An active job.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = pending_jobs, check_for_backend(diesel::pg::Pg))]
pub struct ListedJob {
    pub id: Uuid,
    pub task_name: String,
    pub lane: String,
    pub application_id: Option<Uuid>,
    pub status: PgLabel<JobStatus>,
    /// Jobs with higher values run first.
    pub priority: i16,
    /// The number of attempts started.
    pub attempt: i32,
    /// The earliest time of the next attempt.
    pub run_at: DateTime<Utc>,
    /// The worker that holds the lease.
    pub leased_by: Option<String>,
    /// When the lease expires unless it is renewed.
    pub leased_until: Option<DateTime<Utc>>,
    /// The code of the last attempt's error.
    pub error_type: Option<String>,
    /// The text of the last attempt's error.
    pub error_message: Option<String>,
    /// The ID of the request that caused the job.
    pub request_id: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// One page of the list, starting after the job `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &JobFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ListedJob>> {
    let mut query = pending_jobs::table.select(ListedJob::as_select()).limit(limit).into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(pending_jobs::status.eq(PgJobStatus(status)));
    }
    if let Some(task) = &filter.task {
        query = query.filter(pending_jobs::task_name.eq(task));
    }
    if let Some(lane) = &filter.lane {
        query = query.filter(pending_jobs::lane.eq(lane));
    }
    if let Some(id) = filter.application_id {
        query = query.filter(pending_jobs::application_id.eq(id.as_uuid()));
    }
    query = match filter.order {
        JobOrder::NewestFirst => query.order(pending_jobs::id.desc()),
        JobOrder::OldestFirst => query.order(pending_jobs::id.asc()),
    };
    if let Some(after) = after {
        query = match filter.order {
            JobOrder::NewestFirst => query.filter(pending_jobs::id.lt(after)),
            JobOrder::OldestFirst => query.filter(pending_jobs::id.gt(after)),
        };
    }
    Ok(query.load(connection).await?)
}
