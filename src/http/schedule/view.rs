//! Response type for runs of scheduled tasks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::queue::scheduled_runs::{Cause, Outcome, Run};

/// A run of a scheduled task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunView {
    /// Identifier of the run.
    pub id: Uuid,
    /// The name of the task.
    #[schema(example = "expire_webhooks")]
    pub task: String,
    /// What started the run.
    pub cause: Cause,
    /// The due time.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub due_at: DateTime<Utc>,
    /// How the run ended, or its state if it has not ended.
    pub outcome: Outcome,
    /// Start time; `null` while the run waits for the leader.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub started_at: Option<DateTime<Utc>>,
    /// End time; `null` while the run is not finished.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Counts that depend on the task, for example the number of deleted rows.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// The code of the error, if the run failed.
    pub error_type: Option<String>,
    /// The message of the error, if the run failed.
    pub error_message: Option<String>,
    /// The instance that ran the task.
    pub instance: Option<String>,
    /// The account that requested the run; only with the cause `request`.
    pub requested_by: Option<String>,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            task: run.task,
            cause: run.cause,
            due_at: run.due_at,
            outcome: run.outcome,
            started_at: run.started_at,
            finished_at: run.finished_at,
            detail: run.detail,
            error_type: run.error_type,
            error_message: run.error_message,
            instance: run.instance,
            requested_by: run.requested_by,
        }
    }
}
