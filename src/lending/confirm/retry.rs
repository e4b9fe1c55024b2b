//! The task that retries failed messages.
//!
//! The transaction that applies the message also ends the job, under its fencing token. It locks the message's row
//! first. If a repeated delivery arrives in the meantime, the later of the two waits and then finds the message
//! applied.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use serde::Deserialize;
use uuid::Uuid;

use super::{ApplyOutcome, StoredMessage, WebhookReceiver};
use crate::actors::write_batcher::WriteBatchers;
use crate::config::WebhookSettings;
use crate::domain::confirmation::Confirmation;
use crate::domain::ids::RequestId;
use crate::error::{Error, Result};
use crate::queue::task::{Attempt, Outcome, Task};
use crate::resources::Resources;
use crate::storage::jobs::{self, ClaimedJob, DeadLetter, Lease};
use crate::storage::transaction::{self, Abort};
use crate::storage::webhooks::{self, FailedEvent, RETRY_LANE, RETRY_TASK};

pub struct RetryWebhookEvent {
    pub resources: Resources,
    pub write_batchers: WriteBatchers,
    pub webhooks: WebhookReceiver,
}

#[derive(Deserialize)]
struct Arguments {
    webhook_event_id: Uuid,
}

impl RetryWebhookEvent {
    fn settings(&self) -> &WebhookSettings {
        &self.resources.settings.webhooks
    }
}

impl Task for RetryWebhookEvent {
    const NAME: &'static str = RETRY_TASK;

    fn lanes() -> Vec<&'static str> {
        vec![RETRY_LANE]
    }

    fn max_attempts(&self) -> i32 {
        self.settings().max_attempts
    }

    /// All database errors are retried. Their causes, such as a full disk or a missing privilege, are not caused by the
    /// message, and an operator can fix them.
    fn retryable(&self, error: &Error) -> bool {
        error.retryable() || matches!(error, Error::Database { .. })
    }

    fn longest_pause(&self, attempt: i32) -> Duration {
        // Pause 1 is the delay before the first attempt, so pause n + 1 follows attempt n.
        self.settings().retry_pause(attempt.saturating_add(1))
    }

    async fn run(&self, attempt: &Attempt) -> Result<Outcome> {
        let Arguments { webhook_event_id } = attempt.job.read_args()?;
        self.webhooks.retry(webhook_event_id, attempt.job.lease).await
    }

    /// The message stays failed. Its sender can still send it again.
    async fn give_up(&self, _: &ClaimedJob, dead_letter: DeadLetter) -> Result<bool> {
        self.write_batchers.write(dead_letter).await
    }
}

impl WebhookReceiver {
    /// Applies a failed message and ends the job that holds `lease` in the same transaction.
    ///
    /// # Errors
    /// The reason why the message could not be applied; [`Error::LeaseLost`]; or a database error.
    async fn retry(&self, event: Uuid, lease: Lease) -> Result<Outcome> {
        let work = async |connection: &mut AsyncPgConnection| {
            let Some(failed) = webhooks::take_failed(connection, self.keys(), event).await? else {
                let held = jobs::supersede(connection, &[lease]).await?.contains(&true);
                return if held { Ok(None) } else { Err(Error::LeaseLost.into()) };
            };
            let (provider, id) = (failed.provider.clone(), failed.application_id);
            let outcome = self.apply_failed(connection, failed).await?;
            if matches!(outcome, ApplyOutcome::Settled(..)) && !jobs::complete(connection, lease).await? {
                return Err(Error::LeaseLost.into());
            }
            Ok(Some((provider, id, Ok(outcome))))
        };
        let Resources { database, logger, .. } = &self.resources;
        let retried = transaction::run(database, logger, "retry_webhook", work).await?;
        let Some((provider, id, outcome)) = retried else { return Ok(Outcome::Superseded) };
        self.report(&provider, id, &outcome);
        match outcome? {
            ApplyOutcome::Settled(..) => Ok(Outcome::Completed),
            ApplyOutcome::Failed(error) => Err(error),
        }
    }

    async fn apply_failed(
        &self,
        connection: &mut AsyncPgConnection,
        failed: FailedEvent,
    ) -> Result<ApplyOutcome, Abort> {
        let read = |payload: Vec<u8>| -> Result<Confirmation> {
            serde_json::from_slice(&payload).map_err(Error::internal)
        };
        let outcome = match failed.payload.and_then(read) {
            Ok(confirmation) => {
                let message = StoredMessage {
                    event: failed.id,
                    confirmation: &confirmation,
                    request_id: failed.request_id.as_deref().and_then(RequestId::parse),
                    traceparent: failed.traceparent,
                };
                self.apply(connection, &message, false).await
            }
            Err(error) => Err(error.into()),
        };
        match outcome {
            Err(Abort::Error(error)) => {
                webhooks::fail(connection, failed.id, &error).await?;
                Ok(ApplyOutcome::Failed(error))
            }
            other => other,
        }
    }
}
