//! Listing dead letters.

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

/// Selects the dead letters of a list. A field that is `None` matches every dead letter.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    pub status: Option<FailedJobStatus>,
    pub task: Option<String>,
    pub error_type: Option<String>,
    pub lane: Option<String>,
    pub application_id: Option<ApplicationId>,
    /// Dead-lettered at or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Dead-lettered before this time.
    pub until: Option<DateTime<Utc>>,
}

impl DeadLetterFilter {
    /// A query for the matching dead letters, without an order.
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

/// One page of the list, newest first, starting after the dead letter `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &DeadLetterFilter,
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
