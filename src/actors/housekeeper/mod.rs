//! The housekeeper: recurring work that one instance does for all.
//!
//! One instance leads, by advisory lock; when it is gone another takes over. At each tick the leader queues again the
//! applications that were decided without their bureau, when that bureau has recovered ([`redecision`]), and begins the
//! recurring task that is due ([`schedule`], [`tasks`]), one at a time and beside the ticks. What was run when is in the
//! database ([`runs`]): another leader goes on where this one was.
//!
//! What can go wrong: the leader's connection dies, and with it the lock. It learns so at its next tick, and its task at
//! the next step. What two leaders do for a moment stays correct: each due time belongs to one row, and every task may be
//! stopped anywhere and run again.

mod redecision;
mod runs;
pub mod schedule;
pub mod tasks;

use std::time::Duration;

use actix::prelude::*;
use slog::{info, warn};

use self::runs::Begun;
use self::tasks::Lead;
use crate::actors::provider_gateway::ProviderGateway;
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::leadership::Leadership;
use crate::storage::{jobs, partitions};
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::supervision::limited::catch_panic;

/// The role's name, in logs and metrics.
pub const NAME: &str = "housekeeper";

/// How often figures that change slowly are measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(60);

/// A bureau has recovered: look for applications that wait for it now.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct Wake;

/// The actor.
pub struct Housekeeper {
    resources: Resources,
    gateway: Handle<ProviderGateway>,
    leadership: Option<Leadership>,
    /// The same, as the task that runs sees it.
    lead: Lead,
    busy: bool,
    task_runs: bool,
    measured_at: Option<Duration>,
    _liveness: LivenessGuard,
}

/// One round's work and what it needs.
struct Round {
    resources: Resources,
    gateway: Handle<ProviderGateway>,
    leadership: Option<Leadership>,
    lead: Lead,
    /// Whether a recurring task may begin.
    idle: bool,
    /// Whether figures that change slowly are due.
    measure: bool,
}

/// What a round leaves: leadership, if there is any, and the task that it began.
type Rounded = (Option<Leadership>, Option<Begun>);

impl Housekeeper {
    /// A housekeeper that does not lead yet.
    pub fn new(resources: &Resources, gateway: Handle<ProviderGateway>, liveness: LivenessGuard) -> Self {
        Self {
            resources: resources.named(NAME),
            gateway,
            leadership: None,
            lead: Lead::default(),
            busy: false,
            task_runs: false,
            measured_at: None,
            _liveness: liveness,
        }
    }

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
            idle: !self.task_runs,
            measure,
        };
        // A task of its own: a panic in it comes back as an error, and frees the leadership with the connection.
        let task = actix_rt::spawn(round.run());
        ctx.spawn(task.into_actor(self).map(move |ended, housekeeper, ctx| {
            housekeeper.busy = false;
            match ended.map_err(Error::internal).and_then(|rounded| rounded) {
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
                housekeeper.follow();
            }
        }));
    }

    /// Runs a task beside the ticks, and looks for the next when it is over. It ends with this actor.
    fn carry_out(&mut self, begun: Begun, ctx: &mut Context<Self>) {
        self.task_runs = true;
        let work = runs::carry_out(self.resources.clone(), self.lead.clone(), begun);
        ctx.spawn(catch_panic("run", work).into_actor(self).map(|ended, housekeeper, ctx| {
            housekeeper.task_runs = false;
            if let Err(panic) = ended {
                warn!(housekeeper.resources.logger, "a run panicked"; panic);
            }
            housekeeper.tick(ctx);
        }));
    }

    /// Another instance may lead: the figures of the whole are its to tell, and a task that runs here must end.
    fn follow(&mut self) {
        self.lead.set(false);
        self.measured_at = None;
        self.resources.metrics.scheduled_task_last_success_timestamp_seconds.reset();
    }
}

impl Round {
    async fn run(mut self) -> Result<Rounded> {
        let Some(leadership) = self.lead().await? else { return Ok((None, None)) };
        self.lead.set(true);
        // What fails at one tick does not keep the schedule from going on, nor end the lead.
        if let Err(error) = self.each_tick().await {
            warn!(self.resources.logger, "housekeeping failed"; error);
        }
        let begun = if self.idle { runs::begin_due(&self.resources).await } else { Ok(None) };
        let begun = begun.unwrap_or_else(|error| {
            warn!(self.resources.logger, "no recurring task could begin"; error);
            None
        });
        Ok((Some(leadership), begun))
    }

    async fn each_tick(&self) -> Result<()> {
        self.measure().await?;
        redecision::redecide(&self.resources, &self.gateway).await
    }

    /// Keeps or wins leadership; `None` when another instance leads.
    async fn lead(&mut self) -> Result<Option<Leadership>> {
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
        if !leadership.holds().await {
            warn!(self.resources.logger, "leadership lost with its connection");
            return Ok(None);
        }
        Ok(Some(leadership))
    }

    async fn measure(&self) -> Result<()> {
        let metrics = &self.resources.metrics;
        let mut connection = self.resources.database.get().await?;
        metrics.worker_queue_depth.set(jobs::depth(&mut connection).await?);
        for letters in jobs::dead_letters(&mut connection).await? {
            metrics.dlq_jobs.with_label_values(&[&letters.status]).set(letters.jobs);
        }
        if self.measure {
            let ahead = partitions::months_ahead(&mut connection, self.resources.clock.now()).await?;
            metrics.partitions_ahead_months.set(ahead.into());
        }
        Ok(())
    }
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
