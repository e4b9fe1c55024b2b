//! What operators see of the queue: everything but arguments.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::storage::schema::pending_jobs;
use crate::storage::types::{JobStatus, PgJobStatus, PgLabel};

/// What a list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// One status.
    pub status: Option<JobStatus>,
    /// One task.
    pub task: Option<String>,
    /// One lane.
    pub lane: Option<String>,
    /// One application.
    pub application_id: Option<ApplicationId>,
}

/// One job that is not finished.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = pending_jobs, check_for_backend(diesel::pg::Pg))]
pub struct ListedJob {
    /// The identifier.
    pub id: Uuid,
    /// What is to be done.
    pub task_name: String,
    /// The lane that it waits in.
    pub lane: String,
    /// The application that it is about.
    pub application_id: Option<Uuid>,
    /// Where it stands.
    pub status: PgLabel<JobStatus>,
    /// Higher runs first.
    pub priority: i16,
    /// Attempts that were begun.
    pub attempt: i32,
    /// Not before.
    pub run_at: DateTime<Utc>,
    /// The worker that has it.
    pub leased_by: Option<String>,
    /// Until when, unless it renews its lease.
    pub leased_until: Option<DateTime<Utc>>,
    /// The code of the last attempt's error.
    pub error_type: Option<String>,
    /// That error.
    pub error_message: Option<String>,
    /// The request that led to it.
    pub request_id: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
}

/// A part of the list, newest first, after the job `after`.
///
/// # Errors
/// When the database fails.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &JobFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ListedJob>> {
    let mut query = pending_jobs::table
        .select(ListedJob::as_select())
        .order(pending_jobs::id.desc())
        .limit(limit)
        .into_boxed();
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
    if let Some(after) = after {
        query = query.filter(pending_jobs::id.lt(after));
    }
    Ok(query.load(connection).await?)
}
