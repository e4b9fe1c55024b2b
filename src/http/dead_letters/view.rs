//! Response types for dead letters, and `GET /api/v1/admin/failed-jobs/{id}`.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::label::Label;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;
use crate::queue::dead_letters::{self, DeadLetterAction, FailedJob, FailedJobStatus};

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetterView {
    /// The identifier of the dead letter.
    pub id: Uuid,
    /// The identifier of the job.
    pub job_id: Uuid,
    /// The task of the job.
    #[schema(example = "process_credit_application")]
    pub task: String,
    /// The job's lane; for applications, the country code.
    #[schema(example = "ES")]
    pub lane: String,
    /// The application that the job processed.
    pub application_id: Option<Uuid>,
    /// The code of the last error.
    #[schema(example = "panicked")]
    pub error_type: String,
    /// The message of the last error.
    pub error_message: String,
    /// The number of attempts.
    #[schema(example = 3)]
    pub attempts: i32,
    /// Whether an operator has reviewed, retried or ignored the dead letter.
    #[schema(value_type = FailedJobStatus)]
    pub status: Label<FailedJobStatus>,
    /// The request that caused the job.
    pub request_id: Option<String>,
    /// The job that was queued as its replacement; `null` unless `status` is `reprocessed`.
    pub retried_as: Option<Uuid>,
    /// When the job failed permanently.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
    /// Time of the last operator action.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

impl From<FailedJob> for DeadLetterView {
    fn from(letter: FailedJob) -> Self {
        Self {
            id: letter.id,
            job_id: letter.job_id,
            task: letter.task_name,
            lane: letter.lane,
            application_id: letter.application_id,
            error_type: letter.error_type,
            error_message: letter.error_message,
            attempts: letter.attempts,
            status: letter.status.0,
            request_id: letter.request_id,
            retried_as: letter.retried_as,
            created_at: letter.created_at,
            updated_at: letter.updated_at,
        }
    }
}

/// An operator action on a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetterActionView {
    /// `retry`, `ignore` or `review`.
    #[schema(value_type = crate::http::schemas::DeadLetterActionName, example = "retry")]
    pub action: String,
    /// The previous status.
    #[schema(value_type = FailedJobStatus)]
    pub old_status: Label<FailedJobStatus>,
    /// The new status.
    #[schema(value_type = FailedJobStatus)]
    pub new_status: Label<FailedJobStatus>,
    /// The operator who took the action.
    #[schema(example = "ana.garcia")]
    pub actor: String,
    /// The reason that the operator gave.
    #[schema(example = "The defect is fixed")]
    pub reason: String,
    /// The request that carried out the action.
    pub request_id: Option<String>,
    /// The job that was queued by a retry.
    pub job_id: Option<Uuid>,
    /// Time of the action.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
}

impl From<DeadLetterAction> for DeadLetterActionView {
    fn from(action: DeadLetterAction) -> Self {
        Self {
            action: action.action,
            old_status: action.old_status.0,
            new_status: action.new_status.0,
            actor: action.actor,
            reason: action.reason,
            request_id: action.request_id,
            job_id: action.job_id,
            created_at: action.created_at,
        }
    }
}

/// A dead letter with its arguments, causes and actions.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeadLetterDetailsView {
    /// The dead letter.
    #[serde(flatten)]
    pub letter: DeadLetterView,
    /// The job's arguments.
    #[schema(value_type = Object)]
    pub args: Value,
    /// The chain of causes, if available.
    pub causes: Option<String>,
    /// The statuses that the dead letter can change to.
    pub next: Vec<FailedJobStatus>,
    /// The actions taken, oldest first.
    pub actions: Vec<DeadLetterActionView>,
}

/// Returns a dead letter with its arguments, causes and actions.
#[utoipa::path(
    get,
    path = "/api/v1/admin/failed-jobs/{id}",
    operation_id = "get_failed_job",
    tag = "operations",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter")),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetterDetailsView),
        (status = 404, description = "Dead letter not found"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    let (whole, actions) = dead_letters::get(&state.resources, id).await?;
    Ok(HttpResponse::Ok().json(DeadLetterDetailsView {
        next: whole.letter.status.0.known().map_or_else(Vec::new, |status| status.next().to_vec()),
        letter: whole.letter.into(),
        args: whole.job_args,
        causes: whole.backtrace,
        actions: actions.into_iter().map(DeadLetterActionView::from).collect(),
    }))
}
