//! The scheduled tasks.
//!
//! A task runs small statements, each in its own transaction, and checks between them whether this instance is still
//! the leader ([`Lead::check`]). It may therefore be stopped at any point and run again. Its result is a set of counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use serde_json::{Value, json};
use slog::{info, warn};

use crate::config::{HousekeepingSettings, IngestSettings, TaskSchedule};
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::partitions::Month;
use crate::storage::{
    applications, archive, circuit_history, consumers, deliveries, idempotency, ingest, login_addresses,
    outbox, partitions, refresh_tokens, scheduled_runs, security_events, staff_views, transaction, webhooks,
    ws_tickets,
};

/// The number of expired rows that one statement deletes.
const DELETE_BATCH: u32 = 5000;

/// How long the addresses from which an account signed in are kept.
const LOGIN_ADDRESS_RETENTION_DAYS: u32 = 90;

/// A scheduled task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScheduledTask {
    /// Creates the partitions of future months.
    MakePartitions,
    /// Deletes expired tickets and refresh tokens, and old sign-in addresses.
    ExpireCredentials,
    /// Deletes old published events.
    ExpireOutbox,
    /// Deletes what consumers have stored about expired events, and old dead letters of consumers.
    ExpireConsumedEvents,
    /// Deletes expired idempotency keys and the responses stored for them.
    ExpireIdempotencyKeys,
    /// Deletes expired claims on documents.
    ExpireDocumentClaims,
    /// Deletes expired audit views.
    ExpireStaffViews,
    /// Deletes old security events.
    ExpireSecurityEvents,
    /// Deletes old webhook events.
    ExpireWebhooks,
    /// Deletes old deliveries to webhook endpoints with their attempts and bodies, and expired secrets.
    ExpireWebhookDeliveries,
    /// Drops the days of old ingested events, and deletes old refused ones.
    ExpireIngestedEvents,
    /// Drops the partitions of old finished jobs.
    ExpireJobHistory,
    /// Deletes old changes of circuit breakers.
    ExpireCircuitChanges,
    /// Deletes old rows of the history of runs.
    ExpireScheduledRuns,
    /// Moves closed months to the archive.
    Archive,
}

impl ScheduledTask {
    /// All tasks, in the order in which they run if several are due.
    pub const ALL: [Self; 15] = [
        Self::MakePartitions,
        Self::ExpireCredentials,
        Self::ExpireOutbox,
        Self::ExpireConsumedEvents,
        Self::ExpireIdempotencyKeys,
        Self::ExpireDocumentClaims,
        Self::ExpireStaffViews,
        Self::ExpireSecurityEvents,
        Self::ExpireWebhooks,
        Self::ExpireWebhookDeliveries,
        Self::ExpireIngestedEvents,
        Self::ExpireJobHistory,
        Self::ExpireCircuitChanges,
        Self::ExpireScheduledRuns,
        Self::Archive,
    ];

    /// The name in the configuration, the history and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MakePartitions => "make_partitions",
            Self::ExpireCredentials => "expire_credentials",
            Self::ExpireOutbox => "expire_outbox",
            Self::ExpireConsumedEvents => "expire_consumed_events",
            Self::ExpireIdempotencyKeys => "expire_idempotency_keys",
            Self::ExpireDocumentClaims => "expire_document_claims",
            Self::ExpireStaffViews => "expire_staff_views",
            Self::ExpireSecurityEvents => "expire_security_events",
            Self::ExpireWebhooks => "expire_webhooks",
            Self::ExpireWebhookDeliveries => "expire_webhook_deliveries",
            Self::ExpireIngestedEvents => "expire_ingested_events",
            Self::ExpireJobHistory => "expire_job_history",
            Self::ExpireCircuitChanges => "expire_circuit_changes",
            Self::ExpireScheduledRuns => "expire_scheduled_runs",
            Self::Archive => "archive",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    pub fn schedule(self, settings: &HousekeepingSettings) -> &TaskSchedule {
        match self {
            Self::MakePartitions => &settings.make_partitions,
            Self::ExpireCredentials => &settings.expire_credentials,
            Self::ExpireOutbox => &settings.expire_outbox,
            Self::ExpireConsumedEvents => &settings.expire_consumed_events,
            Self::ExpireIdempotencyKeys => &settings.expire_idempotency_keys,
            Self::ExpireDocumentClaims => &settings.expire_document_claims,
            Self::ExpireStaffViews => &settings.expire_staff_views,
            Self::ExpireSecurityEvents => &settings.expire_security_events,
            Self::ExpireWebhooks => &settings.expire_webhooks,
            Self::ExpireWebhookDeliveries => &settings.expire_webhook_deliveries,
            Self::ExpireIngestedEvents => &settings.expire_ingested_events,
            Self::ExpireJobHistory => &settings.expire_job_history,
            Self::ExpireCircuitChanges => &settings.expire_circuit_changes,
            Self::ExpireScheduledRuns => &settings.expire_scheduled_runs,
            Self::Archive => &settings.archive,
        }
    }

    /// Runs the task. Returns counts of what it did.
    pub(super) async fn run(self, resources: &Resources, lead: &Lead) -> Result<Value> {
        let work = TaskRun { resources, lead, now: resources.clock.now() };
        match self {
            Self::MakePartitions => work.make_partitions().await,
            Self::ExpireCredentials => work.expire_credentials().await,
            Self::ExpireOutbox => work.expire_outbox().await,
            Self::ExpireConsumedEvents => work.expire_consumed_events().await,
            Self::ExpireIdempotencyKeys => work.delete(work.now, idempotency::delete_expired).await,
            Self::ExpireDocumentClaims => work.delete(work.now, applications::delete_expired_claims).await,
            Self::ExpireStaffViews => work.delete(work.now, delete_views).await,
            Self::ExpireSecurityEvents => {
                let days = resources.settings.accounts.security_event_retention_days;
                work.delete(work.days_ago(days), security_events::delete_before).await
            }
            Self::ExpireWebhooks => {
                let days = resources.settings.webhooks.retention_days;
                work.delete(work.days_ago(days), webhooks::delete_received_before).await
            }
            Self::ExpireWebhookDeliveries => work.expire_webhook_deliveries().await,
            Self::ExpireIngestedEvents => work.expire_ingested_events().await,
            Self::ExpireJobHistory => work.expire_job_history().await,
            Self::ExpireCircuitChanges => {
                let days = resources.settings.housekeeping.circuit_retention_days;
                work.delete(work.days_ago(days), circuit_history::delete_before).await
            }
            Self::ExpireScheduledRuns => {
                let days = resources.settings.housekeeping.run_retention_days;
                work.delete(work.days_ago(days), scheduled_runs::delete_expired).await
            }
            Self::Archive => work.archive().await,
        }
    }
}

/// Deletes expired audit views. Each row stores its own expiry, which is compared with the database's clock.
async fn delete_views(connection: &mut AsyncPgConnection, _: DateTime<Utc>, limit: u32) -> Result<usize> {
    staff_views::delete_expired(connection, limit).await
}

/// Whether this instance is the leader, as of its last tick.
#[derive(Debug, Clone, Default)]
pub(super) struct Lead(Arc<AtomicBool>);

impl Lead {
    pub(super) fn set(&self, leads: bool) {
        self.0.store(leads, Ordering::SeqCst);
    }

    pub(super) fn holds(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails if another instance may be the leader now.
    fn check(&self) -> Result<()> {
        if self.holds() { Ok(()) } else { Err(Error::unavailable("leadership", "lost during the run")) }
    }
}

/// A run of a task.
struct TaskRun<'a> {
    resources: &'a Resources,
    lead: &'a Lead,
    now: DateTime<Utc>,
}

impl TaskRun<'_> {
    fn days_ago(&self, days: u32) -> DateTime<Utc> {
        self.now - TimeDelta::days(days.into())
    }

    async fn make_partitions(&self) -> Result<Value> {
        let ahead = self.resources.settings.database.partitions_ahead_months;
        let mut connection = self.resources.database.get().await?;
        let made = partitions::ensure(&mut connection, self.now, ahead).await?;
        if made > 0 {
            info!(self.resources.logger, "partitions created"; "count" => made);
        }
        let IngestSettings { partitions_back_days: back, partitions_ahead_days: ahead, .. } =
            self.resources.settings.ingest;
        let days = ingest::days::ensure_around(&mut connection, self.now, back, ahead).await?;
        if days > 0 {
            info!(self.resources.logger, "partitions of ingested events created"; "days" => days);
        }
        Ok(json!({ "made": made, "ingest_days": days }))
    }

    async fn expire_credentials(&self) -> Result<Value> {
        let mut connection = self.resources.database.get().await?;
        let tickets = ws_tickets::delete_expired(&mut connection, self.now).await?;
        let tokens = refresh_tokens::delete_expired(&mut connection, self.now).await?;
        let before = self.days_ago(LOGIN_ADDRESS_RETENTION_DAYS);
        let addresses = login_addresses::delete_before(&mut connection, before).await?;
        Ok(json!({ "tickets": tickets, "refresh_tokens": tokens, "login_addresses": addresses }))
    }

    async fn expire_webhook_deliveries(&self) -> Result<Value> {
        let before = self.days_ago(self.resources.settings.webhook_delivery.retention_days);
        let attempts = self.delete(before, deliveries::delete_attempts_before).await?;
        let ended = self.delete(before, deliveries::delete_deliveries_before).await?;
        let messages = self.delete(before, deliveries::delete_messages_before).await?;
        let secrets = self.delete(self.now, deliveries::delete_secrets_before).await?;
        Ok(json!({
            "attempts": attempts.get("deleted"),
            "deliveries": ended.get("deleted"),
            "messages": messages.get("deleted"),
            "secrets": secrets.get("deleted"),
        }))
    }

    async fn expire_outbox(&self) -> Result<Value> {
        let settings = &self.resources.settings;
        let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3600);
        let minimum = hours(settings.outbox.retention_hours);
        let unread = hours(settings.events.unread_retention_hours).max(minimum);
        let retention = outbox::OutboxRetention { minimum, unread };
        let delete = async |connection: &mut AsyncPgConnection, now, limit| {
            outbox::delete_expired(connection, now, retention, limit).await
        };
        self.delete(self.now, delete).await
    }

    async fn expire_consumed_events(&self) -> Result<Value> {
        let handled = async |connection: &mut AsyncPgConnection, _, limit| {
            consumers::inbox::delete_expired(connection, limit).await
        };
        let handled = self.delete_rows(self.now, handled).await?;
        let days = self.resources.settings.events.dead_letter_retention_days;
        let dead_letters =
            self.delete_rows(self.days_ago(days), consumers::dead_letters::delete_before).await?;
        Ok(json!({ "handled": handled, "dead_letters": dead_letters }))
    }

    /// Deletes rows in batches. `delete` deletes one batch; `time` is its limit for the age of rows.
    async fn delete(
        &self,
        time: DateTime<Utc>,
        delete: impl AsyncFn(&mut AsyncPgConnection, DateTime<Utc>, u32) -> Result<usize>,
    ) -> Result<Value> {
        Ok(json!({ "deleted": self.delete_rows(time, delete).await? }))
    }

    /// Like [`TaskRun::delete`], but returns the number of deleted rows.
    async fn delete_rows(
        &self,
        time: DateTime<Utc>,
        delete: impl AsyncFn(&mut AsyncPgConnection, DateTime<Utc>, u32) -> Result<usize>,
    ) -> Result<usize> {
        let mut total = 0;
        loop {
            self.lead.check()?;
            // Each batch gets its own connection, because other tasks may be waiting for one.
            let mut connection = self.resources.database.get().await?;
            let batch = async |connection: &mut _| delete(connection, time, DELETE_BATCH).await;
            let deleted = transaction::single(&mut connection, batch).await?;
            total += deleted;
            if deleted < DELETE_BATCH as usize {
                return Ok(total);
            }
        }
    }

    async fn expire_ingested_events(&self) -> Result<Value> {
        let (settings, database) = (&self.resources.settings.ingest, &self.resources.database);
        let before = self.days_ago(settings.retention_days);
        let mut dropped = Vec::new();
        let ended = ingest::days::ended_before(&mut *database.get().await?, before).await?;
        for day in ended {
            self.lead.check()?;
            if ingest::days::drop_day(database, day).await? {
                info!(self.resources.logger, "day of ingested events dropped"; "day" => %day);
                dropped.push(day.to_string());
            }
        }
        let before = self.days_ago(settings.rejected_retention_days);
        let dead_letters = self.delete_rows(before, ingest::dead_letters::delete_before).await?;
        Ok(json!({ "dropped": dropped, "dead_letters": dead_letters }))
    }

    async fn expire_job_history(&self) -> Result<Value> {
        let before = self.days_ago(self.resources.settings.jobs.history_retention_days);
        let mut connection = self.resources.database.get().await?;
        let mut dropped = Vec::new();
        for month in partitions::job_history_before(&mut connection, before).await? {
            self.lead.check()?;
            if partitions::drop_job_history(&mut connection, month).await? {
                info!(self.resources.logger, "partition of finished jobs dropped"; "month" => %month);
                dropped.push(month.to_string());
            }
        }
        Ok(json!({ "dropped": dropped }))
    }

    /// Archives closed months and moves them to the configured tablespace. An error in one month does not stop the others.
    /// If a month failed or its lock could not be acquired, the run fails and is retried.
    async fn archive(&self) -> Result<Value> {
        let settings = &self.resources.settings.archive;
        // Checking the bounds of a month reads all of it, which may take a long time. No caller waits for the result.
        let mut connection = self.resources.database.dedicated().await?;
        connection.batch_execute("SET statement_timeout = 0").await?;
        let last = Month::of(self.now).earlier_by(settings.after_months + 1);
        let (mut archived, mut open, mut failure) = (Vec::new(), Vec::new(), None);
        for listed in archive::months(&mut connection).await? {
            self.lead.check()?;
            let month = listed.month;
            if month > last {
                break;
            }
            if listed.tier == archive::Tier::Hot {
                if archive::open_applications(&mut connection, month).await? > 0 {
                    open.push(month.to_string());
                    continue;
                }
                match archive::archive(&mut connection, month, self.now).await {
                    Ok(()) => {
                        info!(self.resources.logger, "month archived"; "month" => %month);
                        archived.push(month.to_string());
                    }
                    Err(error) => {
                        warn!(self.resources.logger, "month could not be archived"; "month" => %month, error.clone());
                        failure = Some(error);
                        continue;
                    }
                }
            }
            if let Some(tablespace) = settings.tablespace()
                && let Err(error) = archive::move_to_tablespace(&mut connection, month, tablespace).await
            {
                warn!(self.resources.logger, "month could not be moved to its tablespace"; "month" => %month, error.clone());
                failure = Some(error);
            }
        }
        match failure {
            None => Ok(json!({ "archived": archived, "open": open })),
            Some(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_found_by_its_name() {
        for task in ScheduledTask::ALL {
            assert_eq!(ScheduledTask::parse(task.name()), Some(task));
        }
        assert_eq!(ScheduledTask::parse("unknown_task"), None);
    }
}
