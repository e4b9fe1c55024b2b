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
use crate::http::problem::Answer;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, application_id, word};
use crate::json::Refusal;
use crate::queue::dead_letters::FailedJobStatus;
use crate::queue::jobs::{
    self, DeadLetters, JobFilter, JobStatus, LaneFigures, ListedJob, QUEUE_COUNT_LIMIT,
};
use crate::storage::seal::KeyRing;

request_query! {
    /// What the list is narrowed to, and which part of it is wanted.
    pub struct JobListParameters {
        /// Where they stand: `pending`, `processing` or `waiting_external`.
        #[param(value_type = Option<JobStatus>)]
        status: Option<JobStatus> = job_status,
        /// One task.
        #[param(example = "process_credit_application")]
        task: Option<String> = word,
        /// One lane: for applications, the country's code.
        #[param(example = "ES")]
        lane: Option<String> = word,
        /// One application.
        #[param(value_type = Option<Uuid>)]
        application_id: Option<ApplicationId> = application_id,
        /// Jobs of a page; 20 when absent.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// The `next_cursor` of the page before, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// One job that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobView {
    /// The identifier.
    pub id: Uuid,
    /// What is to be done.
    #[schema(example = "process_credit_application")]
    pub task: String,
    /// The lane that it waits in.
    #[schema(example = "ES")]
    pub lane: String,
    /// The application that it is about.
    pub application_id: Option<Uuid>,
    /// Where it stands.
    #[schema(value_type = JobStatus)]
    pub status: Label<JobStatus>,
    /// Higher runs first: 0 for a new application, -5 for a retried dead letter, -10 for what is decided again after an
    /// outage.
    #[schema(example = 0)]
    pub priority: i16,
    /// Attempts that were begun.
    #[schema(example = 1)]
    pub attempts: i32,
    /// Not before.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub run_at: DateTime<Utc>,
    /// The instance that has it.
    pub leased_by: Option<String>,
    /// Until when, unless it goes on to live.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub leased_until: Option<DateTime<Utc>>,
    /// The code of the last attempt's error.
    pub error_type: Option<String>,
    /// That error.
    pub error_message: Option<String>,
    /// The request that led to it.
    pub request_id: Option<String>,
    /// When it was queued.
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

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobPage {
    /// Most jobs of a page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Continues the list; `null` when it ends here.
    pub next_cursor: Option<String>,
    /// The jobs.
    pub jobs: Vec<JobView>,
}

/// Jobs that wait or run, newest first. Finished ones are not among them.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs",
    operation_id = "list_jobs",
    tag = "operations",
    params(JobListParameters),
    responses(
        (status = 200, description = "A part of the list", body = JobPage),
        (status = 400, description = "The query is not percent-encoded UTF-8"),
        (status = 422, description = "A parameter is not acceptable"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> Answer {
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

/// Jobs of one lane in one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneStats {
    /// The lane.
    #[schema(example = "ES")]
    pub lane: String,
    /// `pending`, `processing` or `waiting_external`.
    #[schema(value_type = JobStatus, example = "pending")]
    pub status: String,
    /// How many; no further than `counted_up_to`.
    #[schema(example = 12)]
    pub jobs: i64,
    /// How long ago the oldest of those counted was queued, in milliseconds.
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

/// Dead letters of one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetterStats {
    /// `pending`, `reviewed`, `reprocessed` or `ignored`.
    #[schema(value_type = FailedJobStatus, example = "pending")]
    pub status: String,
    /// How many; no further than `counted_up_to`.
    #[schema(example = 0)]
    pub jobs: i64,
}

impl From<DeadLetters> for DeadLetterStats {
    fn from(letters: DeadLetters) -> Self {
        Self { status: letters.status, jobs: letters.jobs }
    }
}

/// What the queue holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobStats {
    /// Jobs that wait or run; beyond `counted_up_to` an estimate.
    #[schema(example = 12)]
    pub depth: i64,
    /// No count goes further: a longer queue is not counted to its end.
    #[schema(example = 10000)]
    pub counted_up_to: i64,
    /// What each lane holds, by status; without those that hold nothing.
    pub lanes: Vec<LaneStats>,
    /// Dead letters by status.
    pub dead_letters: Vec<DeadLetterStats>,
    /// The answering instance...
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// ...the jobs in work on it...
    #[schema(example = 3)]
    pub running_here: u64,
    /// ...and how many it has places for.
    #[schema(example = 600)]
    pub pool_size: u64,
}

/// What waits, runs and has failed, by lane.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/stats",
    operation_id = "job_stats",
    tag = "operations",
    responses((status = 200, description = "The figures of now", body = JobStats)),
)]
pub(in crate::http) async fn stats(state: HttpState) -> Answer {
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
