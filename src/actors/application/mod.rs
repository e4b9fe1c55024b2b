//! The application actor: one for each running job, for as long as it runs.
//!
//! It holds the job's lease, renews it, gives the work its time, and ends when the work has ended. The work itself runs
//! as a task of its own, whose panic comes back as an error like another: the actor then ends without having finished,
//! and the supervisor, who also notices when the actor itself dies, decides about a restart.
//!
//! Whatever the work comes to, one statement tells the queue: decided, snoozed, given back, superseded or given up. If
//! that statement cannot be written, nothing is lost: the lease runs out and somebody claims the job again.

mod work;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, info, o, warn};

use self::work::Work;
use crate::actors::provider_gateway::ProviderGateway;
use crate::actors::write_batcher::WriteBatchers;
use crate::countries::Countries;
use crate::domain::application::Attribution;
use crate::domain::ids::ChangeId;
use crate::error::{Error, PrivateMessage};
use crate::queue::running_jobs::{RunningJobs, StopWork};
use crate::resources::Resources;
use crate::storage::APPLICATION_ACTOR;
use crate::storage::jobs::{ClaimedJob, DeadLetter, Heartbeat};
use crate::supervision::handle::{Handle, LivenessGuard};

/// How long an actor whose renewal finds no lease waits for its own work to end. Whoever has lost it can change nothing in
/// that time either.
const LOST_LEASE_GRACE: Duration = Duration::from_millis(250);

/// What application actors work with. Cheap to clone.
#[derive(Clone)]
pub struct ApplicationParts {
    /// The usual.
    pub resources: Resources,
    /// Who writes.
    pub write_batchers: WriteBatchers,
    /// Who asks the bureaus.
    pub gateway: Handle<ProviderGateway>,
    /// The rules.
    pub countries: Arc<Countries>,
    /// The jobs in work.
    pub running: RunningJobs,
}

/// The actor.
pub struct ApplicationActor {
    job: ClaimedJob,
    parts: ApplicationParts,
    logger: Logger,
    work: Option<tokio::task::AbortHandle>,
    _liveness: LivenessGuard,
}

impl ApplicationActor {
    /// An actor for `job`.
    pub fn new(job: ClaimedJob, parts: ApplicationParts, liveness: LivenessGuard) -> Self {
        let logger = job_logger(&parts.resources.logger, &job);
        Self { job, parts, logger, work: None, _liveness: liveness }
    }

    fn start_work(&mut self, ctx: &mut Context<Self>) {
        let work = Work { job: self.job.clone(), parts: self.parts.clone(), logger: self.logger.clone() };
        let timeout = Duration::from_millis(self.parts.resources.settings.jobs.timeout_ms);
        let task = actix_rt::spawn(async move { work.run(timeout).await });
        self.work = Some(task.abort_handle());
        ctx.spawn(task.into_actor(self).map(|ended, actor, ctx| {
            match ended {
                Ok(()) => actor.parts.running.finish(&actor.job),
                Err(error) if error.is_cancelled() => {}
                Err(panic) => warn!(actor.logger, "an attempt panicked"; "cause" => %panic),
            }
            ctx.stop();
        }));
    }

    fn renew_lease(&mut self, ctx: &mut Context<Self>) {
        let write_batchers = self.parts.write_batchers.clone();
        let heartbeat = Heartbeat { lease: self.job.lease, lease_ms: lease_ms(&self.parts.resources) };
        let renewal = async move { write_batchers.renew(heartbeat).await };
        ctx.spawn(renewal.into_actor(self).map(|renewed, actor, ctx| match renewed {
            Ok(true) => {}
            // The job's own end may have been committed with this renewal, and its word be on the way.
            Ok(false) => {
                ctx.run_later(LOST_LEASE_GRACE, |actor, ctx| {
                    info!(actor.logger, "the lease was lost: another worker has the job");
                    actor.stop_work(ctx);
                });
            }
            Err(error) => warn!(actor.logger, "the lease could not be renewed"; error),
        }));
    }

    fn stop_work(&mut self, ctx: &mut Context<Self>) {
        if let Some(work) = self.work.take() {
            work.abort();
        }
        self.parts.running.finish(&self.job);
        ctx.stop();
    }
}

impl Actor for ApplicationActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let heartbeat = Duration::from_millis(self.parts.resources.settings.jobs.heartbeat_ms);
        ctx.run_interval(heartbeat, Self::renew_lease);
        self.start_work(ctx);
    }
}

impl Handler<StopWork> for ApplicationActor {
    type Result = ();

    fn handle(&mut self, _: StopWork, ctx: &mut Self::Context) {
        self.stop_work(ctx);
    }
}

impl Drop for ApplicationActor {
    /// An actor that dies takes its work with it: its replacement must not race with it.
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
        }
    }
}

/// Gives a job up whose worker is gone. Where the database does not take it, the next sweep finds the job again.
pub(super) async fn give_up(parts: &ApplicationParts, logger: &Logger, job: &ClaimedJob, error: &Error) {
    warn!(logger, "job given up"; "attempt" => job.attempt, error.clone());
    if let Err(error) =
        parts.write_batchers.move_to_dead_letters(dead_letter(&parts.resources, job, error)).await
    {
        warn!(logger, "job not buried: its lease will run out"; error);
    }
}

/// What is left of a job that is given up: a dead letter, and its application left to a human, with the reason.
fn dead_letter(resources: &Resources, job: &ClaimedJob, error: &Error) -> DeadLetter {
    DeadLetter {
        lease: job.lease,
        application_id: job.application_id,
        error_type: error.code().to_owned(),
        error_message: error.to_string(),
        backtrace: error.private_cause().map(ToOwned::to_owned),
        attribution: attribution(resources, job, Some(format!("processing failed: {error}"))),
        first_change_id: ChangeId::new(resources.clock.new_uuid()),
        traceparent: job.traceparent.clone(),
    }
}

/// The error of a job whose worker died again and again.
pub(super) fn panicked(cause: &str) -> Error {
    Error::Panicked { what: "application actor", cause: PrivateMessage::new(cause) }
}

fn attribution(resources: &Resources, job: &ClaimedJob, reason: Option<String>) -> Attribution {
    Attribution {
        change_id: ChangeId::new(resources.clock.new_uuid()),
        changed_by: APPLICATION_ACTOR.to_owned(),
        reason,
        request_id: job.request_id.clone(),
    }
}

pub(super) fn job_logger(logger: &Logger, job: &ClaimedJob) -> Logger {
    let request_id = job.request_id.as_ref().map(ToString::to_string);
    let application_id = job.application_id.map(|id| id.to_string());
    logger.new(o!(
        "logger" => "application_actor",
        "job_id" => job.lease.job_id.to_string(),
        "application_id" => application_id,
        "request_id" => request_id,
    ))
}

pub(super) fn lease_ms(resources: &Resources) -> i64 {
    i64::try_from(resources.settings.jobs.lease_ms).unwrap_or(i64::MAX)
}
