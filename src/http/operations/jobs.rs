//! `GET /api/v1/admin/jobs` and `GET /api/v1/admin/jobs/stats`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, application_id, identifier};
use crate::json::Refusal;
use crate::queue::dead_letters::FailedJobStatus;
use crate::queue::jobs::{
    self, DeadLetters, JobFilter, JobOrder, JobStatus, LaneFigures, ListedJob, QUEUE_COUNT_LIMIT,
};
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct JobListParameters {
        /// The status: `pending`, `processing` or `waiting_external`.
        #[param(value_type = Option<JobStatus>)]
        status: Option<JobStatus> = job_status,
        /// The name of the task.
        #[param(example = "process_credit_application")]
        task: Option<String> = identifier,
        /// The lane; for applications, the country code.
        #[param(example = "ES")]
        lane: Option<String> = identifier,
        /// The identifier of the application.
        #[param(value_type = Option<Uuid>)]
        application_id: Option<ApplicationId> = application_id,
        /// The order, by the time at which jobs were queued. `created_at` lists the oldest jobs first, which shows jobs
        /// that are stuck or slow.
        #[param(value_type = Option<crate::http::schemas::SortName>, example = "-created_at")]
        sort: Option<JobOrder> = job_order,
        /// Jobs per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters and sort.
        cursor: Option<String> = any_text,
    }
}

/// An unfinished job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobView {
    /// The identifier of the job.
    pub id: Uuid,
    /// The task that the job runs.
    #[schema(example = "process_credit_application")]
    pub task: String,
    /// The job's lane.
    #[schema(example = "ES")]
    pub lane: String,
    /// The application that the job processes.
    pub application_id: Option<Uuid>,
    /// Whether the job waits, is running, or waits for a bureau.
    #[schema(value_type = JobStatus)]
    pub status: Label<JobStatus>,
    /// Jobs with a higher priority run first: 0 for a new or restored application or a webhook retry, -5 for a retried
    /// dead letter, -10 for a re-decision after an outage.
    #[schema(example = 0)]
    pub priority: i16,
    /// Number of attempts started.
    #[schema(example = 1)]
    pub attempts: i32,
    /// The earliest time of the next attempt.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub run_at: DateTime<Utc>,
    /// The instance that holds the lease.
    pub leased_by: Option<String>,
    /// When the lease expires unless it is renewed.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub leased_until: Option<DateTime<Utc>>,
    /// The code of the error of the last attempt.
    pub error_type: Option<String>,
    /// The message of the error of the last attempt.
    pub error_message: Option<String>,
    /// The request that caused the job.
    pub request_id: Option<String>,
    /// When the job was queued.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
}

impl From<ListedJob> for JobView {
    fn from(job: ListedJob) -> Self {
        Self {
            id: job.id,
            task: job.task_name,
            lane: job.lane,
            application_id: job.application_id,
            status: job.status.0,
            priority: job.priority,
            attempts: job.attempt,
            run_at: job.run_at,
            leased_by: job.leased_by,
            leased_until: job.leased_until,
            error_type: job.error_type,
            error_message: job.error_message,
            request_id: job.request_id,
            created_at: job.created_at,
        }
    }
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobPage {
    /// Maximum number of jobs per page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The jobs.
    pub jobs: Vec<JobView>,
}

/// Lists waiting and running jobs, newest first by default. Finished jobs are not included.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs",
    operation_id = "list_jobs",
    tag = "operations",
    params(JobListParameters),
    responses(
        (status = 200, description = "A page of the list", body = JobPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = jobs::list(&state.resources, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |job| job.id);
    let jobs = listed.into_iter().map(JobView::from).collect();
    Ok(HttpResponse::Ok().json(JobPage { page_size: page.size, next_cursor, jobs }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(JobFilter, Page)> {
    let sent = JobListParameters::take(&mut query);
    let filter = JobFilter {
        order: sent.sort.unwrap_or_default(),
        status: sent.status,
        task: sent.task,
        lane: sent.lane,
        application_id: sent.application_id,
    };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("jobs {filter:?}"), size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

fn job_status(text: &str) -> Result<JobStatus, Refusal> {
    let refusal = || ("unknown_status", "must be pending, processing or waiting_external".to_owned());
    text.parse().ok().ok_or_else(refusal)
}

fn job_order(text: &str) -> Result<JobOrder, Refusal> {
    match text {
        "-created_at" => Ok(JobOrder::NewestFirst),
        "created_at" => Ok(JobOrder::OldestFirst),
        _ => Err(("unknown_sort", "must be created_at or -created_at".to_owned())),
    }
}

/// The jobs of one lane in one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneStats {
    /// The lane.
    #[schema(example = "ES")]
    pub lane: String,
    /// `pending`, `processing` or `waiting_external`.
    #[schema(value_type = JobStatus, example = "pending")]
    pub status: String,
    /// Number of jobs, counted up to `counted_up_to`.
    #[schema(example = 12)]
    pub jobs: i64,
    /// Age of the oldest counted job, in milliseconds.
    #[schema(example = 1500)]
    pub oldest_age_ms: Option<i64>,
    /// Whether operators have paused the lane.
    #[schema(example = false)]
    pub paused: bool,
}

impl From<LaneFigures> for LaneStats {
    fn from(figures: LaneFigures) -> Self {
        Self {
            lane: figures.lane,
            status: figures.status,
            jobs: figures.jobs,
            oldest_age_ms: figures.oldest_age_ms,
            paused: figures.paused,
        }
    }
}

/// The dead letters in one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetterStats {
    /// `pending`, `reviewed`, `reprocessed` or `ignored`.
    #[schema(value_type = FailedJobStatus, example = "pending")]
    pub status: String,
    /// Number of dead letters, counted up to `counted_up_to`.
    #[schema(example = 0)]
    pub jobs: i64,
}

impl From<DeadLetters> for DeadLetterStats {
    fn from(letters: DeadLetters) -> Self {
        Self { status: letters.status, jobs: letters.jobs }
    }
}

/// Figures on the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobStats {
    /// Number of waiting and running jobs; an estimate above `counted_up_to`.
    #[schema(example = 12)]
    pub depth: i64,
    /// The limit of all counts in this response.
    #[schema(example = 10000)]
    pub counted_up_to: i64,
    /// Jobs by lane and status; combinations without jobs are omitted.
    pub lanes: Vec<LaneStats>,
    /// Dead letters by status.
    pub dead_letters: Vec<DeadLetterStats>,
    /// The responding instance.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// Number of jobs running on the responding instance.
    #[schema(example = 3)]
    pub running_here: u64,
    /// Maximum number of jobs running on the responding instance.
    #[schema(example = 600)]
    pub pool_size: u64,
}

/// Returns the numbers of waiting, running and failed jobs by lane.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/stats",
    operation_id = "job_stats",
    tag = "operations",
    responses((status = 200, description = "The current figures", body = JobStats)),
)]
pub(in crate::http) async fn stats(state: HttpState) -> HandlerResult {
    let figures = jobs::figures(&state.resources).await?;
    let running = &state.operations.running;
    Ok(HttpResponse::Ok().json(JobStats {
        depth: figures.depth,
        counted_up_to: QUEUE_COUNT_LIMIT,
        lanes: figures.lanes.into_iter().map(LaneStats::from).collect(),
        dead_letters: figures.dead_letters.into_iter().map(DeadLetterStats::from).collect(),
        instance: state.resources.instance.to_string(),
        running_here: u64::try_from(running.len()).unwrap_or(u64::MAX),
        pool_size: u64::try_from(running.pool_size()).unwrap_or(u64::MAX),
    }))
}
