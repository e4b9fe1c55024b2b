//! The housekeeper: recurring work that one instance does for all.
//!
//! One instance leads, by advisory lock; when it is gone another takes over. It makes partitions ahead, deletes what has
//! expired, queues again the applications that were decided without their bureau, when that bureau has recovered, and
//! tries webhooks again that could not be applied. Old webhooks are deleted once a day, at a fixed hour, and when an
//! instance begins to lead: nobody may have been there at that hour.
//!
//! Recovery is judged by this instance's own breaker. Closed: as many as the configured rate allows. Half-open and
//! waiting for a probe: one, which is the probe when there is no other traffic. Open: none. The pause of each application
//! doubles with every try, whatever other instances see.

use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncPgConnection;
use slog::{debug, info, warn};
use tokio::time::timeout;

use super::Resources;
use super::circuit_breaker::State;
use super::faults::FaultPoint;
use super::lifeline::{Handle, Lifeline};
use super::provider_gateway::{BreakerStatus, ProviderGateway, ReadBreakers};
use super::webhooks::WebhookIntake;
use crate::error::{Error, Result};
use crate::storage::leadership::Leadership;
use crate::storage::provider_retries::{self, Requeue};
use crate::storage::{
    applications, idempotency, jobs, outbox, partitions, refresh_tokens, staff_views, webhooks, ws_tickets,
};

/// The role's name, in logs and metrics.
pub const NAME: &str = "housekeeper";

/// Expired rows deleted by one statement.
const DELETE_BATCH: u32 = 5000;
/// Webhooks tried again in one round.
const RETRY_BATCH: usize = 50;

/// A bureau has recovered: look for applications that wait for it now.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct Wake;

/// The actor.
pub struct Housekeeper {
    resources: Resources,
    gateway: Handle<ProviderGateway>,
    webhooks: WebhookIntake,
    leadership: Option<Leadership>,
    busy: bool,
    last_cleaning: Option<Duration>,
    last_forgetting: Option<DateTime<Utc>>,
    _lifeline: Lifeline,
}

/// One round's work and what it needs.
struct Round {
    resources: Resources,
    gateway: Handle<ProviderGateway>,
    webhooks: WebhookIntake,
    leadership: Option<Leadership>,
    clean: bool,
    forget: bool,
}

impl Housekeeper {
    /// A housekeeper that does not lead yet.
    pub fn new(
        resources: &Resources,
        gateway: Handle<ProviderGateway>,
        webhooks: WebhookIntake,
        lifeline: Lifeline,
    ) -> Self {
        Self {
            resources: resources.named(NAME),
            gateway,
            webhooks,
            leadership: None,
            busy: false,
            last_cleaning: None,
            last_forgetting: None,
            _lifeline: lifeline,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        self.busy = true;
        let now = self.resources.clock.monotonic();
        let interval = Duration::from_millis(self.resources.settings.housekeeping.interval_ms);
        let clean = self.last_cleaning.is_none_or(|last| now.saturating_sub(last) >= interval);
        let today = self.resources.clock.now();
        let hour = self.resources.settings.webhooks.cleaning_hour;
        let forget = self.last_forgetting.is_none_or(|last| last < last_hour(today, hour));
        let round = Round {
            resources: self.resources.clone(),
            gateway: self.gateway.clone(),
            webhooks: self.webhooks.clone(),
            leadership: self.leadership.take(),
            clean,
            forget,
        };
        // A task of its own: a panic in it comes back as an error, and frees the leadership with the connection.
        let task = actix_rt::spawn(round.run());
        ctx.spawn(task.into_actor(self).map(move |ended, housekeeper, _| {
            housekeeper.busy = false;
            match ended.map_err(Error::internal).and_then(|leadership| leadership) {
                Ok(leadership) => {
                    if clean && leadership.is_some() {
                        housekeeper.last_cleaning = Some(now);
                    }
                    if forget && leadership.is_some() {
                        housekeeper.last_forgetting = Some(today);
                    }
                    housekeeper.leadership = leadership;
                }
                Err(error) => warn!(housekeeper.resources.logger, "housekeeping failed"; error),
            }
        }));
    }
}

impl Round {
    async fn run(mut self) -> Result<Option<Leadership>> {
        let mut leadership = match self.leadership.take() {
            Some(leadership) => leadership,
            None => match Leadership::try_acquire(&self.resources.database, NAME).await? {
                Some(leadership) => {
                    info!(self.resources.logger, "this instance keeps house now");
                    leadership
                }
                None => return Ok(None),
            },
        };
        let patience = self.resources.settings.database.acquire_timeout();
        // A connection that nobody answers on is as good as lost.
        if !timeout(patience, leadership.holds()).await.unwrap_or(false) {
            warn!(self.resources.logger, "leadership lost with its connection");
            return Ok(None);
        }
        if self.clean {
            self.clean().await?;
        }
        if self.forget {
            self.forget_webhooks().await?;
        }
        self.measure().await?;
        self.redecide().await?;
        self.webhooks.retry_due(RETRY_BATCH).await?;
        Ok(Some(leadership))
    }

    async fn clean(&self) -> Result<()> {
        let settings = &self.resources.settings;
        let now = self.resources.clock.now();
        let mut connection = self.resources.database.get().await?;
        let made =
            partitions::ensure(&mut connection, now, settings.database.partitions_ahead_months).await?;
        if made > 0 {
            info!(self.resources.logger, "partitions made ahead"; "count" => made);
        }
        let tickets = ws_tickets::delete_expired(&mut connection, now).await?;
        let tokens = refresh_tokens::delete_expired(&mut connection, now).await?;
        debug!(self.resources.logger, "expired credentials deleted"; "tickets" => tickets, "refresh_tokens" => tokens);
        let retention = Duration::from_secs(u64::from(settings.outbox.retention_hours) * 3600);
        loop {
            let deleted = outbox::delete_expired(&mut connection, now, retention, DELETE_BATCH).await?;
            debug!(self.resources.logger, "expired events deleted"; "count" => deleted);
            if deleted < DELETE_BATCH as usize {
                break;
            }
        }
        self.delete_expired("answers under a key", idempotency::delete_expired).await?;
        self.delete_expired("claims on documents", applications::delete_expired_claims).await?;
        let by_the_database = async |connection: &mut AsyncPgConnection, _now, limit| {
            staff_views::delete_expired(connection, limit).await
        };
        self.delete_expired("staff views", by_the_database).await
    }

    /// Deletes what has expired of one kind, batch by batch.
    async fn delete_expired(
        &self,
        what: &str,
        delete: impl AsyncFn(&mut AsyncPgConnection, DateTime<Utc>, u32) -> Result<usize>,
    ) -> Result<()> {
        let now = self.resources.clock.now();
        let mut connection = self.resources.database.get().await?;
        loop {
            let deleted = delete(&mut connection, now, DELETE_BATCH).await?;
            debug!(self.resources.logger, "expired rows deleted"; "what" => what, "count" => deleted);
            if deleted < DELETE_BATCH as usize {
                return Ok(());
            }
        }
    }

    async fn forget_webhooks(&self) -> Result<()> {
        let retention = TimeDelta::days(self.resources.settings.webhooks.retention_days.into());
        let before = self.resources.clock.now() - retention;
        let mut connection = self.resources.database.get().await?;
        loop {
            let deleted = webhooks::delete_received_before(&mut connection, before, DELETE_BATCH).await?;
            debug!(self.resources.logger, "old webhooks deleted"; "count" => deleted);
            if deleted < DELETE_BATCH as usize {
                return Ok(());
            }
        }
    }

    async fn measure(&self) -> Result<()> {
        let mut connection = self.resources.database.get().await?;
        let metrics = &self.resources.metrics;
        metrics.worker_queue_depth.set(jobs::depth(&mut connection).await?);
        for letters in jobs::dead_letters(&mut connection).await? {
            metrics.dlq_jobs.with_label_values(&[&letters.status]).set(letters.jobs);
        }
        Ok(())
    }

    async fn redecide(&self) -> Result<()> {
        let mut connection = self.resources.database.get().await?;
        let waiting = provider_retries::countries_due(&mut connection).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let breakers = self.gateway.ask(ReadBreakers).await?;
        for breaker in breakers.iter().filter(|breaker| waiting.contains(&breaker.country)) {
            let limit = self.allowance(breaker);
            if limit == 0 {
                continue;
            }
            let settings = &self.resources.settings.redecision;
            let requeue = Requeue {
                country: breaker.country,
                limit,
                min_interval_ms: i64::try_from(settings.min_interval_ms).unwrap_or(i64::MAX),
                max_interval_ms: i64::try_from(settings.max_interval_ms).unwrap_or(i64::MAX),
            };
            let queued = provider_retries::requeue_due(&mut connection, requeue).await?;
            if queued > 0 {
                info!(self.resources.logger, "applications queued to be decided again";
                    "country" => breaker.country.code(), "count" => queued);
            }
        }
        Ok(())
    }

    /// How many applications of a country may be queued in this tick.
    fn allowance(&self, breaker: &BreakerStatus) -> i32 {
        let settings = &self.resources.settings.redecision;
        match breaker.snapshot.state {
            State::Closed => {
                let share = u64::from(settings.per_second) * settings.tick_ms / 1000;
                i32::try_from(share.max(1)).unwrap_or(i32::MAX)
            }
            State::HalfOpen if breaker.snapshot.wants_probe() => 1,
            State::HalfOpen | State::Open => 0,
        }
    }
}

/// The last time that it was this hour of the day.
fn last_hour(now: DateTime<Utc>, hour: u32) -> DateTime<Utc> {
    let at = now.date_naive().and_hms_opt(hour, 0, 0).map_or(now, |time| time.and_utc());
    if at <= now { at } else { at - TimeDelta::days(1) }
}

impl Actor for Housekeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let tick = Duration::from_millis(self.resources.settings.redecision.tick_ms);
        ctx.run_interval(tick, Self::tick);
        self.tick(ctx);
    }
}

impl Handler<Wake> for Housekeeper {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.resources.faults.pass(FaultPoint::Housekeeper, None);
        self.tick(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_three_o_clock_is_todays_from_three_on_and_yesterdays_before() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (now, last) in [
            ("2026-03-01T03:00:00Z", "2026-03-01T03:00:00Z"),
            ("2026-03-01T23:59:59Z", "2026-03-01T03:00:00Z"),
            ("2026-03-01T02:59:59.999Z", "2026-02-28T03:00:00Z"),
        ] {
            assert_eq!(last_hour(at(now), 3), at(last), "{now}");
        }
    }
}
