//! A run as clients see it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::queue::scheduled_runs::{Cause, Outcome, Run};

/// One run of a recurring task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunView {
    /// The identifier.
    pub id: Uuid,
    /// The task.
    #[schema(example = "expire_webhooks")]
    pub task: String,
    /// Why it was run.
    pub cause: Cause,
    /// When it was due.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub due_at: DateTime<Utc>,
    /// What became of it.
    pub outcome: Outcome,
    /// When it began; `null` while it waits for the leader.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub finished_at: Option<DateTime<Utc>>,
    /// What it did, in figures.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// The code of its error, if there was one.
    pub error_type: Option<String>,
    /// Its error.
    pub error_message: Option<String>,
    /// The instance that ran it.
    pub instance: Option<String>,
    /// Who asked for it; with the cause `request` alone.
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
