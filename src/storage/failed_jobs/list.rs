//! Finding dead letters.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::FailedJob;
use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::storage::schema::failed_jobs;
use crate::storage::types::{FailedJobStatus, PgFailedJobStatus};

/// What letters are narrowed to.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// One status.
    pub status: Option<FailedJobStatus>,
    /// One task.
    pub task: Option<String>,
    /// One error.
    pub error_type: Option<String>,
    /// One lane.
    pub lane: Option<String>,
    /// One application.
    pub application_id: Option<ApplicationId>,
    /// Given up at or after this moment...
    pub from: Option<DateTime<Utc>>,
    /// ...and before this one.
    pub until: Option<DateTime<Utc>>,
}

impl LetterFilter {
    /// The letters that it lets through, in no order.
    pub(super) fn query(&self) -> failed_jobs::BoxedQuery<'_, Pg> {
        let mut query = failed_jobs::table.into_boxed();
        if let Some(status) = self.status {
            query = query.filter(failed_jobs::status.eq(PgFailedJobStatus(status)));
        }
        if let Some(task) = &self.task {
            query = query.filter(failed_jobs::task_name.eq(task));
        }
        if let Some(error_type) = &self.error_type {
            query = query.filter(failed_jobs::error_type.eq(error_type));
        }
        if let Some(lane) = &self.lane {
            query = query.filter(failed_jobs::lane.eq(lane));
        }
        if let Some(id) = self.application_id {
            query = query.filter(failed_jobs::application_id.eq(id.as_uuid()));
        }
        if let Some(from) = self.from {
            query = query.filter(failed_jobs::created_at.ge(from));
        }
        if let Some(until) = self.until {
            query = query.filter(failed_jobs::created_at.lt(until));
        }
        query
    }
}

/// A part of the letters, newest first, after the letter `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &LetterFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<FailedJob>> {
    let mut query = filter.query();
    if let Some(after) = after {
        query = query.filter(failed_jobs::id.lt(after));
    }
    let page = query.select(FailedJob::as_select()).order(failed_jobs::id.desc()).limit(limit);
    Ok(page.load(connection).await?)
}
