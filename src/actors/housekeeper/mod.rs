//! The housekeeper: recurring work that one instance does on behalf of all.
//!
//! An advisory lock determines the leader. If the leader fails, another instance takes over. At each tick the leader queues
//! re-decisions of applications that were decided without their bureau, if the bureau has recovered ([`redecision`]), and
//! starts a scheduled task if one is due ([`schedule`], [`tasks`]). Only one task runs at a time, concurrently with the
//! ticks. The database stores the history of runs ([`runs`]), so a new leader continues where the previous one stopped.
//!
//! If the leader's connection is lost, the lock is lost too. The leader detects that at its next tick, and the running task
//! stops before its next statement. It is harmless if two instances briefly act as leader: the history has only one row for
//! each due time, and every task may be stopped at any point and run again.

mod redecision;
mod runs;
pub mod schedule;
pub mod tasks;

use std::time::Duration;

use actix::prelude::*;
use slog::{info, warn};

use self::runs::BegunRun;
use self::tasks::Lead;
use crate::actors::provider_gateway::ProviderGateway;
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::consumers::overview;
use crate::storage::leadership::Leadership;
use crate::storage::{jobs, partitions};
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::supervision::limited::catch_panic;
use crate::telemetry::metrics::{HousekeeperGauges, LeaderRole, seconds};

/// The name of the role in logs and metrics.
pub const NAME: &str = "housekeeper";

/// The interval at which slowly changing metrics are measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(60);

/// Makes the housekeeper look for waiting applications immediately. Sent when a bureau has recovered.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct Wake;

pub struct Housekeeper {
    resources: Resources,
    gateway: Handle<ProviderGateway>,
    leadership: Option<Leadership>,
    /// Shows the running task whether this instance is still the leader.
    lead: Lead,
    /// Whether a tick is in progress.
    busy: bool,
    /// Whether a scheduled task is running.
    task_is_running: bool,
    /// When this leader last measured the slowly changing metrics.
    measured_at: Option<Duration>,
    _liveness: LivenessGuard,
}

/// The work of one tick.
struct Round {
    resources: Resources,
    gateway: Handle<ProviderGateway>,
    leadership: Option<Leadership>,
    lead: Lead,
    /// Whether a scheduled task may start.
    idle: bool,
    /// Whether to measure the slowly changing metrics.
    measure: bool,
}

/// The result of a tick: the leadership, if held, and the task that was started.
type RoundResult = (Option<Leadership>, Option<BegunRun>);

impl Housekeeper {
    /// A housekeeper that is not the leader yet.
    pub fn new(resources: &Resources, gateway: Handle<ProviderGateway>, liveness: LivenessGuard) -> Self {
        Self {
            resources: resources.named(NAME),
            gateway,
            leadership: None,
            lead: Lead::default(),
            busy: false,
            task_is_running: false,
            measured_at: None,
            _liveness: liveness,
        }
    }

    /// Does one round of work, unless one is running.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        self.busy = true;
        let now = self.resources.clock.monotonic();
        let measure = self.measured_at.is_none_or(|last| now.saturating_sub(last) >= MEASURE_INTERVAL);
        let round = Round {
            resources: self.resources.clone(),
            gateway: self.gateway.clone(),
            leadership: self.leadership.take(),
            lead: self.lead.clone(),
            idle: !self.task_is_running,
            measure,
        };
        // Runs as a separate asynchronous task, so a panic becomes an error and releases the leadership with the
        // connection.
        let task = actix_rt::spawn(round.run());
        ctx.spawn(task.into_actor(self).map(move |ended, housekeeper, ctx| {
            housekeeper.busy = false;
            match ended.map_err(Error::internal).and_then(|result| result) {
                Ok((leadership, begun)) => {
                    housekeeper.leadership = leadership;
                    if measure && housekeeper.leadership.is_some() {
                        housekeeper.measured_at = Some(now);
                    }
                    if let Some(begun) = begun {
                        housekeeper.carry_out(begun, ctx);
                    }
                }
                Err(error) => warn!(housekeeper.resources.logger, "housekeeping failed"; error),
            }
            if housekeeper.leadership.is_none() {
                housekeeper.stop_leading();
            }
        }));
    }

    /// Runs a task concurrently with the ticks, and looks for the next one when it ends. The task ends with this actor.
    fn carry_out(&mut self, begun: BegunRun, ctx: &mut Context<Self>) {
        self.task_is_running = true;
        let work = runs::carry_out(self.resources.clone(), self.lead.clone(), begun);
        ctx.spawn(catch_panic("run", work).into_actor(self).map(|ended, housekeeper, ctx| {
            housekeeper.task_is_running = false;
            if let Err(panic) = ended {
                warn!(housekeeper.resources.logger, "a scheduled task panicked"; panic);
            }
            housekeeper.tick(ctx);
        }));
    }

    /// Stops acting as the leader, because another instance may be the leader now. The running task, if any, ends at its
    /// next step, and this instance no longer reports the global metrics.
    fn stop_leading(&mut self) {
        self.lead.set(false);
        self.measured_at = None;
        self.resources.metrics.lead(LeaderRole::Housekeeper, false);
    }
}

impl Round {
    async fn run(mut self) -> Result<RoundResult> {
        let Some(leadership) = self.keep_or_acquire_leadership().await? else { return Ok((None, None)) };
        self.lead.set(true);
        self.resources.metrics.lead(LeaderRole::Housekeeper, true);
        // After an error, scheduled tasks still start, and this instance remains the leader.
        if let Err(error) = self.each_tick().await {
            warn!(self.resources.logger, "housekeeping failed"; error);
        }
        let begun = if self.idle { runs::begin_due(&self.resources).await } else { Ok(None) };
        let begun = begun.unwrap_or_else(|error| {
            warn!(self.resources.logger, "could not start a scheduled task"; error);
            None
        });
        Ok((Some(leadership), begun))
    }

    /// The work that every tick does as the leader.
    async fn each_tick(&self) -> Result<()> {
        self.measure().await?;
        redecision::redecide(&self.resources, &self.gateway).await
    }

    /// Returns `None` if this instance is not the leader.
    async fn keep_or_acquire_leadership(&mut self) -> Result<Option<Leadership>> {
        let mut leadership = match self.leadership.take() {
            Some(leadership) => leadership,
            None => match Leadership::try_acquire(&self.resources.database, NAME).await? {
                Some(leadership) => {
                    info!(self.resources.logger, "this instance is now the leading housekeeper");
                    leadership
                }
                None => return Ok(None),
            },
        };
        if !leadership.holds().await {
            warn!(self.resources.logger, "leadership lost: the database connection failed");
            return Ok(None);
        }
        Ok(Some(leadership))
    }

    async fn measure(&self) -> Result<()> {
        let metrics = &self.resources.metrics;
        let mut connection = self.resources.database.get().await?;
        metrics.worker_queue_depth.set(jobs::depth(&mut connection).await? as f64);
        let age = jobs::oldest_due(&mut connection).await?;
        metrics.worker_queue_age_seconds.set(seconds(age));
        for letters in jobs::dead_letters(&mut connection).await? {
            metrics.dlq_jobs.with_label_values(&[&letters.status]).set(letters.jobs as f64);
        }
        for lag in overview::lags(&mut connection).await? {
            let labels = [lag.consumer.as_str()];
            let set = |gauges: &HousekeeperGauges, value| gauges.with_label_values(&labels).set(value);
            set(&metrics.event_consumer_pending_events, lag.pending as f64);
            set(&metrics.event_consumer_lag_seconds, seconds(lag.lag));
            set(&metrics.event_consumer_deferred_events, lag.deferred as f64);
            set(&metrics.event_consumer_dead_letters, lag.dead_letters as f64);
        }
        if self.measure {
            let ahead = partitions::months_ahead(&mut connection, self.resources.clock.now()).await?;
            metrics.partitions_ahead_months.set(ahead.into());
        }
        Ok(())
    }
}

impl Drop for Housekeeper {
    /// Resets the metric, because an actor that has ended is not the leader.
    fn drop(&mut self) {
        self.resources.metrics.lead(LeaderRole::Housekeeper, false);
    }
}

impl Actor for Housekeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.resources.metrics.lead(LeaderRole::Housekeeper, false);
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
