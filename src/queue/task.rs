//! Tasks: the code that jobs name.
//!
//! To add a new kind of background work, implement [`Task`] for a type and add one line to the registry
//! (`app::engine`). The scheduler, supervisor, leases, retries, dead letters, metrics and the operator endpoints work
//! for every task.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use slog::Logger;

use super::running_jobs::RunningJobs;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::storage::jobs::{ClaimedJob, DeadLetter, KnownTask, Quota};

/// One attempt at one job.
#[derive(Clone)]
pub struct Attempt {
    /// The job with its lease.
    pub job: ClaimedJob,
    /// A logger that adds the job to every line.
    pub logger: Logger,
}

/// The outcome of an attempt. If the attempt ends the job, the task itself must have recorded that in the same transaction as
/// its effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The effects and the end of the job were committed.
    Completed,
    /// The job was no longer needed and was ended.
    Superseded,
    /// Another worker holds the lease; nothing was changed.
    LeaseLost,
    /// The job returns to the queue for this duration without using an attempt.
    Snoozed(Duration),
    /// An external system will respond with this reference within this duration. The job waits without using an
    /// attempt.
    WaitingExternal {
        /// The reference that the response will contain.
        reference: String,
        /// After this duration the job is claimed again.
        timeout: Duration,
    },
}

/// A kind of background work.
pub trait Task: Send + Sync + 'static {
    /// The name in `pending_jobs.task_name`, logs and metrics.
    const NAME: &'static str;

    /// The lanes of the task's jobs. Operators can pause each of them.
    fn lanes() -> Vec<&'static str>;

    /// How many jobs this worker may currently claim from each lane. Called before each claim.
    fn quotas(&self, _running: &RunningJobs) -> impl Future<Output = Vec<Quota>> {
        std::future::ready(Self::lanes().into_iter().map(Quota::whole).collect())
    }

    /// Executes the task. After a [`retryable`](Self::retryable) error, the job returns to the queue with backoff; after the
    /// last attempt or any other error, it becomes a dead letter.
    ///
    /// # Errors
    /// Any error that prevented the work.
    fn run(&self, attempt: &Attempt) -> impl Future<Output = Result<Outcome>>;

    /// Writes the dead letter of `job` together with the task's own changes. Returns `false` if the lease was
    /// lost.
    ///
    /// # Errors
    /// If it cannot be written.
    fn give_up(&self, job: &ClaimedJob, dead_letter: DeadLetter) -> impl Future<Output = Result<bool>>;

    /// The number of attempts before a job becomes a dead letter.
    fn max_attempts(&self) -> i32;

    /// Whether another attempt can succeed after this error.
    fn retryable(&self, error: &Error) -> bool {
        error.retryable()
    }

    /// The maximum pause after the failed attempt with this number.
    fn longest_pause(&self, attempt: i32) -> Duration;

    /// The pause after the failed attempt with this number. By default, it is chosen at random between zero and
    /// [`longest_pause`](Self::longest_pause).
    fn pause(&self, attempt: i32, clock: &Clock) -> Duration {
        clock.jitter(self.longest_pause(attempt))
    }
}

/// The form of [`Task`] that the registry can store.
pub trait AnyTask: Send + Sync {
    /// [`Task::NAME`].
    fn name(&self) -> &'static str;

    /// [`Task::lanes`].
    fn lanes(&self) -> Vec<&'static str>;

    /// [`Task::quotas`].
    fn quotas<'a>(&'a self, running: &'a RunningJobs) -> LocalBoxFuture<'a, Vec<Quota>>;

    /// [`Task::run`].
    fn run<'a>(&'a self, attempt: &'a Attempt) -> LocalBoxFuture<'a, Result<Outcome>>;

    /// [`Task::give_up`].
    fn give_up<'a>(
        &'a self,
        job: &'a ClaimedJob,
        dead_letter: DeadLetter,
    ) -> LocalBoxFuture<'a, Result<bool>>;

    /// [`Task::max_attempts`].
    fn max_attempts(&self) -> i32;

    /// [`Task::retryable`].
    fn retryable(&self, error: &Error) -> bool;

    /// [`Task::pause`].
    fn pause(&self, attempt: i32, clock: &Clock) -> Duration;
}

impl<T: Task> AnyTask for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn lanes(&self) -> Vec<&'static str> {
        T::lanes()
    }

    fn quotas<'a>(&'a self, running: &'a RunningJobs) -> LocalBoxFuture<'a, Vec<Quota>> {
        Task::quotas(self, running).boxed_local()
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> LocalBoxFuture<'a, Result<Outcome>> {
        Task::run(self, attempt).boxed_local()
    }

    fn give_up<'a>(
        &'a self,
        job: &'a ClaimedJob,
        dead_letter: DeadLetter,
    ) -> LocalBoxFuture<'a, Result<bool>> {
        Task::give_up(self, job, dead_letter).boxed_local()
    }

    fn max_attempts(&self) -> i32 {
        Task::max_attempts(self)
    }

    fn retryable(&self, error: &Error) -> bool {
        Task::retryable(self, error)
    }

    fn pause(&self, attempt: i32, clock: &Clock) -> Duration {
        Task::pause(self, attempt, clock)
    }
}

/// The tasks of this version. Jobs of other tasks are left to newer instances. Cheap to clone.
#[derive(Clone)]
pub struct Tasks(Arc<[Box<dyn AnyTask>]>);

impl Tasks {
    /// A registry of these tasks.
    pub fn new(tasks: impl IntoIterator<Item = Box<dyn AnyTask>>) -> Self {
        Self(tasks.into_iter().collect())
    }

    /// The tasks whose jobs this instance claims.
    pub fn known(&self) -> Vec<KnownTask> {
        let tasks = self.0.iter();
        tasks.map(|task| KnownTask { name: task.name(), max_attempts: task.max_attempts() }).collect()
    }

    /// The task of a job.
    pub fn find(&self, name: &str) -> Option<&dyn AnyTask> {
        self.0.iter().find(|task| task.name() == name).map(AsRef::as_ref)
    }

    /// The lanes of all tasks without duplicates.
    pub fn lanes(&self) -> Vec<&'static str> {
        let mut lanes = Vec::new();
        for lane in self.0.iter().flat_map(|task| task.lanes()) {
            if !lanes.contains(&lane) {
                lanes.push(lane);
            }
        }
        lanes
    }

    /// How many jobs this worker may currently claim from each lane. If tasks share a lane, the smallest of their
    /// quotas applies. Jobs without a lane are always included.
    pub async fn quotas(&self, running: &RunningJobs) -> Vec<Quota> {
        let mut lanes = vec![Quota::whole("")];
        for task in self.0.iter() {
            for quota in task.quotas(running).await {
                match lanes.iter_mut().find(|known| known.lane == quota.lane) {
                    Some(known) => known.max_jobs = known.max_jobs.min(quota.max_jobs),
                    None => lanes.push(quota),
                }
            }
        }
        lanes
    }
}
