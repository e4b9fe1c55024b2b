//! The supervisor of the job actors.
//!
//! It starts one actor per claimed job and is notified when one ends. A job whose actor ended normally is removed. An
//! actor that failed is restarted after a pause, within a budget. If the budget is exhausted, the job returns to the
//! queue with the reason or, after its last attempt, becomes a dead letter. No job stays `processing` forever.
//!
//! Its state is in [`crate::queue::running_jobs::RunningJobs`], outside the actor. If the supervisor fails, the root
//! starts a replacement, which handles every listed job whose actor has ended.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{info, warn};

use super::job::{self, JobActor, JobParts, give_up, job_logger, may_retry, panicked, release_after_failure};
use crate::queue::running_jobs::{Slot, StartNumber, StopWork};
use crate::storage::jobs::{ClaimedJob, Release};
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::supervision::root::{Arbiters, RestartBudget};

/// The actor's name in logs and metrics.
pub const NAME: &str = "supervisor";

/// The delay before the end of an actor is reported again if the supervisor could not accept the report.
const REPORT_PAUSE: Duration = Duration::from_millis(20);

/// Notifies the scheduler that a slot is free.
pub type SlotFreed = Arc<dyn Fn() + Send + Sync>;

/// Starts a claimed job in a slot.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StartJob {
    pub job: ClaimedJob,
    pub slot: Slot,
}

/// A job actor has ended.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct ActorEnded(ClaimedJob, StartNumber);

/// Stops all work and returns all jobs to the queue without counting the attempt. The response is their number.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct ReturnAllJobs;

pub struct Supervisor {
    parts: JobParts,
    arbiters: Arc<Arbiters>,
    own_handle: Handle<Self>,
    slot_freed: SlotFreed,
    _liveness: LivenessGuard,
}

impl Supervisor {
    /// A supervisor of the jobs in `parts.running`.
    pub fn new(
        parts: JobParts,
        arbiters: Arc<Arbiters>,
        own_handle: Handle<Self>,
        slot_freed: SlotFreed,
        liveness: LivenessGuard,
    ) -> Self {
        Self { parts, arbiters, own_handle, slot_freed, _liveness: liveness }
    }

    fn start_actor(&self, job: &ClaimedJob) {
        let Some(start_number) = self.parts.running.record_start(job) else { return };
        let (liveness, termination) = LivenessGuard::pair();
        let (parts, claimed) = (self.parts.clone(), job.clone());
        let addr = JobActor::start_in_arbiter(&self.arbiters.next(), move |_| {
            JobActor::new(claimed, parts, liveness)
        });
        self.parts.running.set_actor(job, addr.recipient());
        let (supervisor, ended) = (self.own_handle.clone(), ActorEnded(job.clone(), start_number));
        // Outlives this supervisor, so the report reaches its replacement.
        actix_rt::spawn(async move {
            termination.wait().await;
            while supervisor.tell(ended.clone()).is_err() {
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
                warn!(logger, "job actor failed; restarting"; "pause_ms" => pause.as_millis());
                ctx.run_later(pause, move |supervisor, _| supervisor.start_actor(&job));
            }
            None => self.release_or_give_up(job, ctx),
        }
    }

    fn release_or_give_up(&self, job: ClaimedJob, ctx: &mut Context<Self>) {
        let logger = job_logger(&self.parts.resources.logger, &job);
        let parts = self.parts.clone();
        let ending = async move {
            let error = panicked("the actor exceeded its restart budget");
            if !may_retry(&parts, &job, &error) {
                give_up(&parts, &logger, &job, &error).await;
            } else {
                let release = release_after_failure(&parts, &job, &error);
                warn!(logger, "restart budget exhausted; returning job to the queue"; "attempt" => job.attempt);
                if let Err(error) = parts.write_batchers.write(release).await {
                    warn!(logger, "cannot return job to the queue; its lease will expire"; error);
                }
            }
            job
        };
        ctx.spawn(ending.into_actor(self).map(|job, supervisor, _| supervisor.remove(&job)));
    }

    fn remove(&self, job: &ClaimedJob) {
        self.parts.running.remove(job);
        self.measure_active_jobs();
        (self.slot_freed)();
    }

    fn measure_active_jobs(&self) {
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
            info!(self.parts.resources.logger, "taking over running jobs"; "count" => orphans.len());
        }
        for (job, start_number) in orphans {
            ctx.notify(ActorEnded(job, start_number));
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
        self.measure_active_jobs();
    }
}

impl Handler<ActorEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ActorEnded(job, start_number): ActorEnded, ctx: &mut Self::Context) {
        match self.parts.running.record_end(&job, start_number) {
            Some(budget) => self.restart(job, budget, ctx),
            None => {
                self.measure_active_jobs();
                (self.slot_freed)();
            }
        }
    }
}

impl Handler<ReturnAllJobs> for Supervisor {
    type Result = ResponseActFuture<Self, usize>;

    fn handle(&mut self, _: ReturnAllJobs, _: &mut Self::Context) -> Self::Result {
        let jobs = self.parts.running.jobs();
        for actor in self.parts.running.actors() {
            // If the mailbox of a stopping actor is full, the actor ends with its thread.
            let _ = actor.try_send(StopWork);
        }
        let parts = self.parts.clone();
        let returning = async move {
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
        Box::pin(returning.into_actor(self))
    }
}
