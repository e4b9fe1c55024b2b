//! The actor of a running job. Each running job has its own actor. Some names in code and data call the actor of a job
//! that processes a credit application *application actor*.
//!
//! The actor holds the job's lease, renews it, limits the duration of the attempt and stops when the attempt ends. A panic
//! in the attempt is caught and becomes an error. The actor then stops without finishing the job. The supervisor detects the
//! end of the actor and decides whether to restart it. The attempt is a future of the actor and ends with it, so it never
//! runs concurrently with the attempt of a replacement.
//!
//! However the attempt ends, one statement records the result in the queue ([`settle`]). If that statement fails, nothing is
//! lost: the lease expires and a worker claims the job again.

mod settle;

use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, info, o, warn};

pub use self::settle::AttemptStatus;
use self::settle::run_attempt;
pub(super) use self::settle::{give_up, may_retry, release_after_failure};
use crate::actors::write_batcher::WriteBatchers;
use crate::error::{Error, PrivateMessage};
use crate::queue::running_jobs::{RunningJobs, StopWork};
use crate::queue::task::{Attempt, Tasks};
use crate::resources::Resources;
use crate::storage::jobs::{ClaimedJob, Heartbeat};
use crate::supervision::handle::LivenessGuard;
use crate::supervision::limited::catch_panic;

/// The name of the role in metrics.
pub const NAME: &str = "job";

/// How long an actor waits for its attempt to end after a renewal found that the lease is no longer valid. The attempt itself
/// may have ended the job and with it the lease. If another worker has the lease, the attempt can change nothing in that time.
const LOST_LEASE_GRACE: Duration = Duration::from_millis(250);

/// What all job actors, the supervisor and the scheduler share. Cheap to clone.
#[derive(Clone)]
pub struct JobParts {
    pub resources: Resources,
    pub write_batchers: WriteBatchers,
    pub tasks: Tasks,
    pub running: RunningJobs,
}

/// The actor of one running job.
pub struct JobActor {
    job: ClaimedJob,
    parts: JobParts,
    logger: Logger,
    _liveness: LivenessGuard,
}

impl JobActor {
    pub fn new(job: ClaimedJob, parts: JobParts, liveness: LivenessGuard) -> Self {
        let logger = job_logger(&parts.resources.logger, &job);
        Self { job, parts, logger, _liveness: liveness }
    }

    fn start_work(&mut self, ctx: &mut Context<Self>) {
        let attempt = Attempt { job: self.job.clone(), logger: self.logger.clone() };
        let parts = self.parts.clone();
        let work = async move { run_attempt(&parts, attempt).await };
        ctx.spawn(catch_panic("attempt", work).into_actor(self).map(|ended, actor, ctx| {
            match ended.and_then(|ended| ended) {
                Ok(()) => actor.parts.running.finish(&actor.job),
                Err(panic) => warn!(actor.logger, "an attempt panicked"; panic),
            }
            ctx.stop();
        }));
    }

    fn renew_lease(&mut self, ctx: &mut Context<Self>) {
        let write_batchers = self.parts.write_batchers.clone();
        let heartbeat = Heartbeat { lease: self.job.lease, lease_ms: lease_ms(&self.parts.resources) };
        let renewal = async move { write_batchers.write(heartbeat).await };
        ctx.spawn(renewal.into_actor(self).map(|renewed, actor, ctx| match renewed {
            Ok(true) => {}
            // Either another worker has the lease, or the attempt has just ended the job in its own transaction.
            Ok(false) => {
                ctx.run_later(LOST_LEASE_GRACE, |actor, ctx| {
                    info!(actor.logger, "lease lost: another worker has the job");
                    actor.stop_work(ctx);
                });
            }
            Err(error) => warn!(actor.logger, "lease could not be renewed"; error),
        }));
    }

    fn stop_work(&mut self, ctx: &mut Context<Self>) {
        self.parts.running.finish(&self.job);
        ctx.stop();
    }
}

impl Actor for JobActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let heartbeat = Duration::from_millis(self.parts.resources.settings.jobs.heartbeat_ms);
        ctx.run_interval(heartbeat, Self::renew_lease);
        self.start_work(ctx);
    }
}

impl Handler<StopWork> for JobActor {
    type Result = ();

    fn handle(&mut self, _: StopWork, ctx: &mut Self::Context) {
        self.stop_work(ctx);
    }
}

/// The error of a job whose actor failed more often than its restart budget allows.
pub(super) fn panicked(cause: &str) -> Error {
    Error::Panicked { what: "job actor", cause: PrivateMessage::new(cause) }
}

pub(super) fn job_logger(logger: &Logger, job: &ClaimedJob) -> Logger {
    let request_id = job.request_id.as_ref().map(ToString::to_string);
    let application_id = job.application_id.map(|id| id.to_string());
    logger.new(o!(
        "logger" => "job",
        "task" => job.task_name.clone(),
        "job_id" => job.lease.job_id.to_string(),
        "application_id" => application_id,
        "request_id" => request_id,
    ))
}

pub(super) fn lease_ms(resources: &Resources) -> i64 {
    i64::try_from(resources.settings.jobs.lease_ms).unwrap_or(i64::MAX)
}
