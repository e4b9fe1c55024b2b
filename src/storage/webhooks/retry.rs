//! The jobs that retry failed webhook events. A unique index on the arguments allows one active job per event.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use uuid::Uuid;

use super::start_attempt;
use crate::domain::ids::ApplicationId;
use crate::storage::jobs::{NewJob, Priority, enqueue, job_history};
use crate::storage::schema::webhook_events;
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::transaction::Abort;
use crate::storage::types::{PgWebhookStatus, WebhookStatus};

/// The task name of the retry jobs in `pending_jobs`.
pub const RETRY_TASK: &str = "retry_webhook_event";

/// The lane of the retries. They call no bureau, so they need not wait in the lanes of the countries.
pub const RETRY_LANE: &str = "webhooks";

/// Queues a job that retries a failed webhook event after `delay`, unless one is already active.
pub async fn queue_retry(
    connection: &mut AsyncPgConnection,
    event: Uuid,
    delay: Duration,
    request_id: Option<String>,
    traceparent: Option<String>,
) -> Result<(), Abort> {
    let job = NewJob {
        task_name: RETRY_TASK.to_owned(),
        application_id: None,
        lane: RETRY_LANE.to_owned(),
        args: json!({ "webhook_event_id": event }),
        priority: Priority::Fresh,
        delay,
        request_id,
        traceparent,
    };
    enqueue(connection, &job).await?;
    Ok(())
}

struct SupersedeRetry(String);

impl FixedStatement for SupersedeRetry {
    const NAME: &'static str = "supersede_retry";
    const SQL: &'static str = concat!(
        "WITH finished AS (DELETE FROM pending_jobs WHERE task_name = 'retry_webhook_event' \
            AND job_args ->> 'webhook_event_id' = ? RETURNING *), ",
        job_history!(result: "'superseded'", from: "finished f"),
        " SELECT FROM finished"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.0)
    }
}

/// Ends the job that would retry a webhook event, if there is one. A worker that is running it loses its lease.
pub async fn supersede_retry(connection: &mut AsyncPgConnection, event: Uuid) -> Result<(), Abort> {
    Prepared(SupersedeRetry(event.to_string())).execute(connection).await?;
    Ok(())
}

/// A failed webhook event that is being retried.
pub struct FailedEvent {
    /// The identifier of the row in `webhook_events`.
    pub id: Uuid,
    pub provider: String,
    pub application_id: ApplicationId,
    /// The raw body, or the error if it cannot be decrypted.
    pub payload: crate::error::Result<Vec<u8>>,
    /// The ID of the request that delivered the event.
    pub request_id: Option<String>,
    /// The W3C trace context of the request that delivered the event.
    pub traceparent: Option<String>,
}

/// Locks a failed webhook event and counts an attempt. Returns `None` if the event has since been deleted, applied or
/// ignored.
pub async fn take_failed(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    event: Uuid,
) -> Result<Option<FailedEvent>, Abort> {
    type Row = (String, Uuid, Vec<u8>, Option<String>, Option<String>);
    let row: Option<Row> = webhook_events::table
        .select((
            webhook_events::provider,
            webhook_events::application_id,
            webhook_events::payload,
            webhook_events::request_id,
            webhook_events::traceparent,
        ))
        .filter(webhook_events::id.eq(event))
        .filter(webhook_events::status.eq(PgWebhookStatus(WebhookStatus::Failed)))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    let Some((provider, application_id, envelope, request_id, traceparent)) = row else {
        return Ok(None);
    };
    start_attempt(connection, event).await?;
    let payload = keys.open_bytes(SealedField::WebhookPayload, event, &envelope);
    let application_id = ApplicationId::new(application_id);
    Ok(Some(FailedEvent { id: event, provider, application_id, payload, request_id, traceparent }))
}
