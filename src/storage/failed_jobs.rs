//! Dead letters.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::failed_jobs;
use crate::domain::ids::ApplicationId;
use crate::error::Result;

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
    /// The code of its last error.
    pub error_type: String,
    /// The last error, for operators.
    pub error_message: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was given up.
    pub created_at: DateTime<Utc>,
}

/// The dead letters about an application, newest first.
///
/// # Errors
/// When the database fails.
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
