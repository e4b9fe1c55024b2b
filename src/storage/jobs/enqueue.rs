//! Queueing a job in the same transaction as the change that requires it.

use std::time::Duration;

use diesel::data_types::PgInterval;
use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_types::{Interval, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::Priority;
use crate::error::Result;
use crate::storage::schema::pending_jobs;

/// A job to be queued.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub task_name: String,
    /// The application whose deletion or final decision ends the job.
    pub application_id: Option<Uuid>,
    pub lane: String,
    /// The arguments: identifiers, never personal data.
    pub args: Value,
    pub priority: Priority,
    /// The time until the job is due.
    pub delay: Duration,
    /// The ID of the request that caused the job.
    pub request_id: Option<String>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
}

/// Queues a job and returns its identifier, or `None` if a unique index reports that such a job is already active. A job
/// that is due immediately wakes the schedulers on commit. Jobs with a delay are found when the schedulers poll.
pub async fn enqueue(connection: &mut AsyncPgConnection, job: &NewJob) -> Result<Option<Uuid>> {
    let delay_us = i64::try_from(job.delay.as_micros()).unwrap_or(i64::MAX);
    let delay = PgInterval::from_microseconds(delay_us).into_sql::<Interval>();
    let queued: Option<Uuid> = diesel::insert_into(pending_jobs::table)
        .values((
            pending_jobs::task_name.eq(&job.task_name),
            pending_jobs::application_id.eq(job.application_id),
            pending_jobs::lane.eq(&job.lane),
            pending_jobs::job_args.eq(&job.args),
            pending_jobs::priority.eq(job.priority.value()),
            pending_jobs::run_at.eq(now.into_sql::<Timestamptz>() + delay),
            pending_jobs::request_id.eq(&job.request_id),
            pending_jobs::traceparent.eq(&job.traceparent),
        ))
        .on_conflict_do_nothing()
        .returning(pending_jobs::id)
        .get_result(connection)
        .await
        .optional()?;
    if queued.is_some() && job.delay.is_zero() {
        diesel::sql_query("SELECT pg_notify('aval_jobs', '')").execute(connection).await?;
    }
    Ok(queued)
}
