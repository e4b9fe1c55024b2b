//! The task that makes the attempts of a delivery.
//!
//! An attempt happens at least once: if the worker dies between the request and the commit, another worker repeats it with
//! the same `webhook-id`. The transaction that records a success also ends the job under its fencing token.

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde::Deserialize;
use slog::{Logger, info, warn};
use std::time::Duration;
use uuid::Uuid;

use super::address::{SystemResolver, Target};
use super::admission::Admission;
use super::send::{Answer, Request, send};
use super::signing::sign;
use crate::actors::write_batcher::{CommitHook, WriteBatchers, Written};
use crate::clock::Clock;
use crate::config::WebhookDeliverySettings;
use crate::domain::delivery::{AttemptResult, DeliveryStatus, DisabledReason};
use crate::error::{Error, PrivateMessage, Result};
use crate::queue::running_jobs::RunningJobs;
use crate::queue::task::{Attempt, Outcome, Task};
use crate::resources::Resources;
use crate::storage::deliveries::endpoints::{self, Endpoint, EndpointChange, EndpointSecret};
use crate::storage::deliveries::{self, DELIVERY_LANE, DELIVERY_TASK, DueDelivery, NewAttempt};
use crate::storage::jobs::{self, ClaimedJob, DeadLetter, Lease, Quota, Supersede};
use crate::storage::security_events;
use crate::storage::transaction::{self, Abort};
use crate::telemetry::metrics::seconds;

/// The actor of changes that deliveries cause, in security events.
const ACTOR: &str = "system:deliveries";

pub struct DeliverWebhook {
    pub resources: Resources,
    pub write_batchers: WriteBatchers,
    pub admission: Admission,
    pub on_commit: CommitHook,
}

#[derive(Deserialize)]
struct Arguments {
    delivery_id: Uuid,
}

/// A delivery that can be attempted.
struct Sendable {
    due: DueDelivery,
    endpoint: Endpoint,
    secrets: Vec<EndpointSecret>,
}

/// A delivery as found by its job.
enum Found {
    Sendable(Box<Sendable>),
    /// The endpoint is disabled or was deleted.
    Unwanted(DueDelivery),
    /// It has expired, or was delivered.
    Over,
}

impl Task for DeliverWebhook {
    const NAME: &'static str = DELIVERY_TASK;

    fn lanes() -> Vec<&'static str> {
        vec![DELIVERY_LANE]
    }

    /// Deliveries take at most half of the instance's slots, so slow endpoints cannot delay applications.
    async fn quotas(&self, running: &RunningJobs) -> Vec<Quota> {
        let configured = usize::try_from(self.settings().max_in_flight).unwrap_or(usize::MAX);
        let most = configured.min((running.pool_size() / 2).max(1));
        let free = most.saturating_sub(running.count_in(DELIVERY_LANE));
        vec![Quota { lane: DELIVERY_LANE.to_owned(), max_jobs: i32::try_from(free).unwrap_or(i32::MAX) }]
    }

    fn max_attempts(&self) -> i32 {
        self.settings().max_attempts()
    }

    /// Database errors are retried: their causes are not faults of the endpoint.
    fn retryable(&self, error: &Error) -> bool {
        error.retryable() || matches!(error, Error::Database { .. })
    }

    fn longest_pause(&self, attempt: i32) -> Duration {
        let pause = self.settings().pause_after(attempt);
        pause + pause / 10
    }

    /// The configured pause and up to a tenth of it, so deliveries that failed together are not repeated together.
    fn pause(&self, attempt: i32, clock: &Clock) -> Duration {
        let pause = self.settings().pause_after(attempt);
        pause + clock.jitter(pause / 10)
    }

    async fn run(&self, attempt: &Attempt) -> Result<Outcome> {
        let Arguments { delivery_id } = attempt.job.read_args()?;
        let lease = attempt.job.lease;
        match self.find(delivery_id).await? {
            Found::Over => match self.write_batchers.write(Supersede(lease)).await? {
                true => Ok(Outcome::Superseded),
                false => Ok(Outcome::LeaseLost),
            },
            Found::Unwanted(due) => self.skip(&due, lease).await,
            Found::Sendable(found) => self.attempt(&found, lease, &attempt.logger).await,
        }
    }

    /// The delivery is dead. An ordered endpoint gets the next one about the subject.
    async fn give_up(&self, job: &ClaimedJob, dead_letter: DeadLetter) -> Result<bool> {
        let Arguments { delivery_id } = job.read_args()?;
        let now = self.resources.clock.now();
        let work = async |connection: &mut AsyncPgConnection| {
            let letters = std::slice::from_ref(&dead_letter);
            let held = jobs::move_to_dead_letters(connection, letters).await?.contains(&true);
            if held && let Some(due) = deliveries::find_due(connection, delivery_id).await? {
                end(connection, &due, DeliveryStatus::Dead, now).await?;
            }
            Ok(held)
        };
        let Resources { database, logger, .. } = &self.resources;
        let held = transaction::run(database, logger, "give_up_delivery", work).await?;
        if held {
            self.count_end(DeliveryStatus::Dead);
        }
        Ok(held)
    }
}

impl DeliverWebhook {
    fn settings(&self) -> &WebhookDeliverySettings {
        &self.resources.settings.webhook_delivery
    }

    async fn find(&self, id: Uuid) -> Result<Found> {
        let mut connection = self.resources.database.get().await?;
        let Some(due) = deliveries::find_due(&mut connection, id).await? else { return Ok(Found::Over) };
        // A dead delivery has a job if an operator retried its dead letter.
        if !matches!(due.status.parse(), Ok(DeliveryStatus::Pending | DeliveryStatus::Dead)) {
            return Ok(Found::Over);
        }
        let endpoint = endpoints::find(&mut connection, due.endpoint_id).await?.filter(Endpoint::is_enabled);
        let Some(endpoint) = endpoint else { return Ok(Found::Unwanted(due)) };
        let (keys, now) = (self.resources.database.keys(), self.resources.clock.now());
        let secrets = endpoints::secrets(&mut connection, keys, endpoint.id, now).await?;
        Ok(Found::Sendable(Box::new(Sendable { due, endpoint, secrets })))
    }

    /// Ends the delivery and its job without an attempt.
    async fn skip(&self, due: &DueDelivery, lease: Lease) -> Result<Outcome> {
        let now = self.resources.clock.now();
        let work = async |connection: &mut AsyncPgConnection| {
            end(connection, due, DeliveryStatus::Skipped, now).await?;
            supersede(connection, lease).await
        };
        self.commit("skip_delivery", work).await?;
        self.count_end(DeliveryStatus::Skipped);
        Ok(Outcome::Superseded)
    }

    async fn attempt(&self, found: &Sendable, lease: Lease, logger: &Logger) -> Result<Outcome> {
        let Resources { clock, metrics, .. } = &self.resources;
        let permit = match self.admission.admit(found.endpoint.id) {
            Ok(permit) => permit,
            Err(pause) => {
                metrics.webhook_attempts_deferred_total.inc();
                return Ok(Outcome::Snoozed(pause));
            }
        };
        let (started, attempted_at) = (clock.monotonic(), clock.now());
        let answer = self.request(found, attempted_at).await?;
        let duration = clock.monotonic().saturating_sub(started);
        permit.finish(answer.result == AttemptResult::Delivered);
        metrics.webhook_attempts_total.with_label_values(&[answer.result.as_str()]).inc();
        metrics.webhook_attempt_duration_seconds.observe(seconds(duration));
        let record = NewAttempt {
            id: clock.new_uuid(),
            delivery_id: found.due.id,
            endpoint_id: found.endpoint.id,
            result: answer.result,
            status_code: answer.status,
            duration_ms: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
            response: answer.response,
            error: answer.error,
            attempted_at,
        };
        match answer.result {
            AttemptResult::Delivered => self.delivered(found, &record, lease).await,
            AttemptResult::Gone => self.gone(found, &record, lease, logger).await,
            _ => Err(self.failed(found, &record, logger).await?),
        }
    }

    async fn request(&self, found: &Sendable, now: DateTime<Utc>) -> Result<Answer> {
        let settings = self.settings();
        let target = match Target::parse(&found.endpoint.url, settings) {
            Ok(target) => target,
            Err(why) => {
                return Ok(Answer::failed(AttemptResult::ForbiddenUrl, format!("the URL {}", why.as_str())));
            }
        };
        let (id, body) = (found.due.message_id.to_string(), found.due.body.clone());
        let signature = sign(&found.secrets, &id, now, body.as_bytes())?;
        let request = Request { id, timestamp: now.timestamp(), signature, body };
        Ok(send(&target, &request, &SystemResolver, &settings.allowed_networks, settings.timeout()).await)
    }

    async fn delivered(&self, found: &Sendable, record: &NewAttempt, lease: Lease) -> Result<Outcome> {
        let (keys, now) = (self.resources.database.keys(), self.resources.clock.now());
        let work = async |connection: &mut AsyncPgConnection| {
            deliveries::record_attempt(connection, keys, record).await?;
            end(connection, &found.due, DeliveryStatus::Delivered, now).await?;
            if found.endpoint.failing_since.is_some() {
                let healthy = EndpointChange { failing_since: Some(None), ..EndpointChange::default() };
                endpoints::change(connection, found.endpoint.id, &healthy).await?;
            }
            if jobs::complete(connection, lease).await? { Ok(()) } else { Err(Error::LeaseLost.into()) }
        };
        self.commit("record_delivery", work).await?;
        self.count_end(DeliveryStatus::Delivered);
        Ok(Outcome::Completed)
    }

    /// The endpoint has answered that it no longer exists.
    async fn gone(
        &self,
        found: &Sendable,
        record: &NewAttempt,
        lease: Lease,
        logger: &Logger,
    ) -> Result<Outcome> {
        let (keys, now) = (self.resources.database.keys(), self.resources.clock.now());
        let work = async |connection: &mut AsyncPgConnection| {
            deliveries::record_attempt(connection, keys, record).await?;
            end(connection, &found.due, DeliveryStatus::Dead, now).await?;
            self.disable(connection, found.endpoint.id, DisabledReason::Gone, now).await?;
            supersede(connection, lease).await
        };
        self.commit("disable_gone_endpoint", work).await?;
        self.count_end(DeliveryStatus::Dead);
        warn!(logger, "webhook endpoint disabled: it answered with 410"; "endpoint_id" => %found.endpoint.id);
        Ok(Outcome::Superseded)
    }

    /// Records a failed attempt, and disables the endpoint if every attempt has failed for too long. Returns the error of the
    /// attempt.
    async fn failed(&self, found: &Sendable, record: &NewAttempt, logger: &Logger) -> Result<Error> {
        let (keys, now) = (self.resources.database.keys(), self.resources.clock.now());
        let work = async |connection: &mut AsyncPgConnection| {
            deliveries::record_attempt(connection, keys, record).await?;
            Ok(self.record_failure(connection, &found.endpoint, now).await?)
        };
        let disabled = self.commit("record_failed_delivery", work).await?;
        if disabled {
            warn!(logger, "webhook endpoint disabled: every attempt has failed for too long";
                "endpoint_id" => %found.endpoint.id, "hours" => self.settings().disable_after_hours);
        }
        let status = record.status_code.map(|status| format!("status {status}"));
        let cause = status.or(record.error.clone()).unwrap_or_default();
        info!(logger, "webhook delivery failed"; "endpoint_id" => %found.endpoint.id,
            "result" => record.result.as_str(), "cause" => &cause);
        Ok(Error::Delivery { result: record.result.as_str(), cause: PrivateMessage::new(cause) })
    }

    /// Returns whether the endpoint was disabled.
    async fn record_failure(
        &self,
        connection: &mut AsyncPgConnection,
        endpoint: &Endpoint,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let is_over = |since: DateTime<Utc>| now - since >= self.settings().disable_after();
        // Most failures change nothing, and then need no lock.
        if endpoint.failing_since.is_some_and(|since| !is_over(since)) {
            return Ok(false);
        }
        let Some(current) = endpoints::lock(connection, endpoint.id).await? else { return Ok(false) };
        match current.failing_since {
            None => {
                let failing = EndpointChange { failing_since: Some(Some(now)), ..EndpointChange::default() };
                endpoints::change(connection, endpoint.id, &failing).await?;
                Ok(false)
            }
            Some(since) if is_over(since) => {
                self.disable(connection, endpoint.id, DisabledReason::Failing, now).await
            }
            Some(_) => Ok(false),
        }
    }

    /// Disables the endpoint if it is enabled, and returns whether it was.
    async fn disable(
        &self,
        connection: &mut AsyncPgConnection,
        endpoint: Uuid,
        reason: DisabledReason,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let current = endpoints::lock(connection, endpoint).await?;
        if !current.is_some_and(|endpoint| endpoint.is_enabled()) {
            return Ok(false);
        }
        let Resources { database, clock, .. } = &self.resources;
        security_events::set_origin(connection, database.keys(), clock.new_uuid(), Some(ACTOR), None, None)
            .await?;
        let change = EndpointChange { updated_at: Some(now), ..EndpointChange::disable(reason, now) };
        endpoints::change(connection, endpoint, &change).await?;
        Ok(true)
    }

    async fn commit<R>(
        &self,
        name: &'static str,
        work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
    ) -> Result<R> {
        let Resources { database, logger, .. } = &self.resources;
        let made = transaction::run(database, logger, name, work).await?;
        (self.on_commit)(Written { jobs: true, events: true });
        Ok(made)
    }

    fn count_end(&self, status: DeliveryStatus) {
        self.resources.metrics.webhook_deliveries_total.with_label_values(&[status.as_str()]).inc();
    }
}

/// Ends a delivery and queues the next one about its subject, if that waits.
async fn end(
    connection: &mut AsyncPgConnection,
    due: &DueDelivery,
    status: DeliveryStatus,
    now: DateTime<Utc>,
) -> Result<()> {
    deliveries::finish(connection, due.id, status, now).await?;
    deliveries::queue_next(connection, due.endpoint_id, due.subject).await?;
    Ok(())
}

async fn supersede(connection: &mut AsyncPgConnection, lease: Lease) -> Result<(), Abort> {
    let held = jobs::supersede(connection, &[lease]).await?.contains(&true);
    if held { Ok(()) } else { Err(Error::LeaseLost.into()) }
}
