//! The supervisor of the application actors.
//!
//! It starts one actor for each claimed job and is told when one is gone. One that ended in order is forgotten; one that
//! died is started again after a pause, within a budget; when the budget is used up, the job goes back to the queue with
//! the reason, or, after its last attempt, to the dead letters: a job is never left `processing`.
//!
//! What it knows is in [`crate::queue::running_jobs::RunningJobs`], outside of it. When the supervisor itself dies, the root starts another, which
//! looks after every job on the list whose actor is gone.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{info, warn};

use super::job::{self, JobActor, JobParts, give_up, job_logger, may_retry, panicked, release_after_failure};
use crate::actors::scheduler::{Scheduler, SlotFreed};
use crate::queue::running_jobs::{Slot, StartNumber, StopWork};
use crate::storage::jobs::{ClaimedJob, Release};
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::supervision::root::{Arbiters, RestartBudget};

/// The role's name, in logs and metrics.
pub const NAME: &str = "supervisor";

/// The pause before the end of an actor is reported again to a supervisor that could not take the report.
const REPORT_PAUSE: Duration = Duration::from_millis(20);

/// Starts a claimed job on a place of the pool.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StartJob {
    /// The job.
    pub job: ClaimedJob,
    /// Its place.
    pub slot: Slot,
}

/// An application actor is gone.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct ActorGone(ClaimedJob, StartNumber);

/// Ends all work and gives every job back, without costing an attempt; answered with how many there were.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct GiveAllBack;

/// The actor.
pub struct Supervisor {
    parts: JobParts,
    arbiters: Arc<Arbiters>,
    own_handle: Handle<Self>,
    scheduler: Handle<Scheduler>,
    _liveness: LivenessGuard,
}

impl Supervisor {
    /// A supervisor of the jobs in `parts.running`.
    pub fn new(
        parts: JobParts,
        arbiters: Arc<Arbiters>,
        own_handle: Handle<Self>,
        scheduler: Handle<Scheduler>,
        liveness: LivenessGuard,
    ) -> Self {
        Self { parts, arbiters, own_handle, scheduler, _liveness: liveness }
    }

    fn start_actor(&self, job: &ClaimedJob) {
        let Some(start_number) = self.parts.running.record_start(job) else { return };
        let (line, death) = LivenessGuard::pair();
        let (parts, claimed) = (self.parts.clone(), job.clone());
        let addr =
            JobActor::start_in_arbiter(&self.arbiters.next(), move |_| JobActor::new(claimed, parts, line));
        self.parts.running.set_actor(job, addr.recipient());
        let (supervisor, gone) = (self.own_handle.clone(), ActorGone(job.clone(), start_number));
        // Outlives this supervisor: the report reaches whoever supervises then.
        actix_rt::spawn(async move {
            death.wait().await;
            while supervisor.tell(gone.clone()).is_err() {
                supervisor.wait_alive().await;
                tokio::time::sleep(REPORT_PAUSE).await;
            }
        });
    }

    fn restart(&self, job: ClaimedJob, mut budget: RestartBudget, ctx: &mut Context<Self>) {
        let logger = job_logger(&self.parts.resources.logger, &job);
        let metrics = &self.parts.resources.metrics;
        metrics.actor_restarts_total.with_label_values(&[job::NAME]).inc();
        let pause = budget.take(self.parts.resources.clock.monotonic());
        self.parts.running.set_budget(&job, budget);
        match pause {
            Some(pause) => {
                warn!(logger, "application actor died and is started again"; "pause_ms" => pause.as_millis());
                ctx.run_later(pause, move |supervisor, _| supervisor.start_actor(&job));
            }
            None => self.release_or_give_up(job, ctx),
        }
    }

    fn release_or_give_up(&self, job: ClaimedJob, ctx: &mut Context<Self>) {
        let logger = job_logger(&self.parts.resources.logger, &job);
        let parts = self.parts.clone();
        let ending = async move {
            let error = panicked("the actor died more often than its restart budget allows");
            if !may_retry(&parts, &job, &error) {
                give_up(&parts, &logger, &job, &error).await;
            } else {
                let release = release_after_failure(&parts, &job, &error);
                warn!(logger, "restart budget used up: the job goes back to the queue"; "attempt" => job.attempt);
                if let Err(error) = parts.write_batchers.write(release).await {
                    warn!(logger, "job not given back: its lease will run out"; error);
                }
            }
            job
        };
        ctx.spawn(ending.into_actor(self).map(|job, supervisor, _| supervisor.forget(&job)));
    }

    fn forget(&self, job: &ClaimedJob) {
        self.parts.running.remove(job);
        self.count_active();
        self.scheduler.hint(SlotFreed);
    }

    fn count_active(&self) {
        let resources = &self.parts.resources;
        let active = i64::try_from(self.parts.running.len()).unwrap_or(i64::MAX);
        resources.metrics.worker_active_tasks.with_label_values(&[&*resources.instance]).set(active);
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.parts.resources.settings.actors.mailbox_capacity);
        let orphans = self.parts.running.orphans();
        if !orphans.is_empty() {
            info!(self.parts.resources.logger, "adopting running jobs"; "count" => orphans.len());
        }
        for (job, start_number) in orphans {
            ctx.notify(ActorGone(job, start_number));
        }
    }
}

impl Handler<StartJob> for Supervisor {
    type Result = ();

    fn handle(&mut self, StartJob { job, slot }: StartJob, _: &mut Self::Context) {
        let budget = RestartBudget::new(&self.parts.resources.settings.actors.restart);
        self.parts.running.insert(job.clone(), slot, budget);
        self.parts.resources.faults.pass(FaultPoint::Supervisor, None);
        self.start_actor(&job);
        self.count_active();
    }
}

impl Handler<ActorGone> for Supervisor {
    type Result = ();

    fn handle(&mut self, ActorGone(job, start_number): ActorGone, ctx: &mut Self::Context) {
        match self.parts.running.record_end(&job, start_number) {
            Some(budget) => self.restart(job, budget, ctx),
            None => {
                self.count_active();
                self.scheduler.hint(SlotFreed);
            }
        }
    }
}

impl Handler<GiveAllBack> for Supervisor {
    type Result = ResponseActFuture<Self, usize>;

    fn handle(&mut self, _: GiveAllBack, _: &mut Self::Context) -> Self::Result {
        let jobs = self.parts.running.jobs();
        for actor in self.parts.running.actors() {
            // A full mailbox of an actor that is being stopped: it ends with its thread.
            let _ = actor.try_send(StopWork);
        }
        let parts = self.parts.clone();
        let giving = async move {
            let releases = jobs.iter().map(|job| {
                parts.write_batchers.write(Release {
                    lease: job.lease,
                    delay_ms: 0,
                    give_attempt_back: true,
                    error: None,
                    provider_reference: None,
                })
            });
            futures_util::future::join_all(releases)
                .await
                .into_iter()
                .filter(|r| matches!(r, Ok(true)))
                .count()
        };
        Box::pin(giving.into_actor(self))
    }
}
