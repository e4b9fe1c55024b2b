//! The jobs running on this instance.
//!
//! The supervisor manages this list. The list is stored outside the supervisor, so it is kept when the supervisor is
//! restarted. Each entry holds one slot of the pool until it is removed from the list, even if the actor of the job has
//! ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::JobId;
use crate::storage::jobs::ClaimedJob;
use crate::supervision::root::RestartBudget;

/// Stops the work on a job because its lease was lost or the process is shutting down.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopWork;

/// A slot of the pool.
pub type Slot = OwnedSemaphorePermit;

/// Numbers the starts of a job's actor. The end of an actor may be reported twice: by the asynchronous task that waits for it
/// and by a new supervisor. The number ensures that it is handled only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartNumber(u64);

/// A running job.
struct RunningJob {
    job: ClaimedJob,
    actor: Option<Recipient<StopWork>>,
    start_number: StartNumber,
    budget: RestartBudget,
    /// Whether the work has ended. The end of the actor is then not a failure.
    finished: bool,
    _slot: Slot,
}

impl RunningJob {
    fn next_start(&mut self) -> StartNumber {
        self.start_number = StartNumber(self.start_number.0.wrapping_add(1));
        self.start_number
    }
}

/// The list of running jobs. Cheap to clone.
#[derive(Clone)]
pub struct RunningJobs {
    jobs: Arc<Mutex<HashMap<JobId, RunningJob>>>,
    slots: Arc<Semaphore>,
    pool_size: usize,
}

impl RunningJobs {
    /// An empty list with `pool_size` slots.
    pub fn new(pool_size: usize) -> Self {
        Self { jobs: Arc::default(), slots: Arc::new(Semaphore::new(pool_size)), pool_size }
    }

    /// Takes up to `max` free slots.
    pub fn take_slots(&self, max: usize) -> Vec<Slot> {
        let take = |_| Arc::clone(&self.slots).try_acquire_owned().ok();
        (0..max).map_while(take).collect()
    }

    /// Adds a job. If it is already in the list with an older lease, the older work is stopped.
    pub fn insert(&self, job: ClaimedJob, slot: Slot, budget: RestartBudget) {
        let entry = RunningJob {
            actor: None,
            start_number: StartNumber(0),
            budget,
            finished: false,
            _slot: slot,
            job: job.clone(),
        };
        let previous = self.lock().insert(job.lease.job_id, entry);
        // The older lease expired and this instance claimed the job again. The older actor can no longer change
        // anything.
        if let Some(actor) = previous.and_then(|entry| entry.actor) {
            let _ = actor.try_send(StopWork);
        }
    }

    /// Counts a start of a job's actor and returns its number; `None` if the job is no longer in the list with this
    /// lease.
    pub fn record_start(&self, claimed: &ClaimedJob) -> Option<StartNumber> {
        self.with_entry(claimed, RunningJob::next_start)
    }

    /// Records the actor of a job.
    pub fn set_actor(&self, claimed: &ClaimedJob, actor: Recipient<StopWork>) {
        self.with_entry(claimed, |entry| entry.actor = Some(actor));
    }

    /// Records that the work on a job has finished, so that the end of its actor does not count as a failure.
    pub fn finish(&self, claimed: &ClaimedJob) {
        self.with_entry(claimed, |entry| entry.finished = true);
    }

    /// Records the end of an actor. Returns the restart budget if the job needs another actor; `None` if its work has
    /// finished or this end has already been handled.
    pub fn record_end(&self, claimed: &ClaimedJob, start_number: StartNumber) -> Option<RestartBudget> {
        let finished = self.with_entry(claimed, |entry| entry.finished)?;
        if finished {
            self.remove(claimed);
            return None;
        }
        self.with_entry(claimed, |entry| {
            (entry.start_number == start_number).then(|| {
                entry.actor = None;
                entry.next_start();
                entry.budget.clone()
            })
        })?
    }

    /// Stores a job's restart budget after part of it has been used.
    pub fn set_budget(&self, claimed: &ClaimedJob, budget: RestartBudget) {
        self.with_entry(claimed, |entry| entry.budget = budget);
    }

    /// Removes a job.
    pub fn remove(&self, claimed: &ClaimedJob) {
        let mut jobs = self.lock();
        if jobs.get(&claimed.lease.job_id).is_some_and(|entry| entry.job.lease == claimed.lease) {
            jobs.remove(&claimed.lease.job_id);
        }
    }

    /// Jobs in the list without a live actor, which a new supervisor must restart.
    pub fn orphans(&self) -> Vec<(ClaimedJob, StartNumber)> {
        let alive = |entry: &RunningJob| entry.actor.as_ref().is_some_and(Recipient::connected);
        let orphan = |entry: &RunningJob| (entry.job.clone(), entry.start_number);
        self.lock().values().filter(|entry| !alive(entry)).map(orphan).collect()
    }

    /// The actors of all jobs.
    pub fn actors(&self) -> Vec<Recipient<StopWork>> {
        self.lock().values().filter_map(|entry| entry.actor.clone()).collect()
    }

    /// The jobs whose work has not been recorded as finished.
    pub fn jobs(&self) -> Vec<ClaimedJob> {
        self.lock().values().filter(|entry| !entry.finished).map(|entry| entry.job.clone()).collect()
    }

    /// Whether a job of this lane is running.
    pub fn any_in(&self, lane: &str) -> bool {
        self.lock().values().any(|entry| entry.job.lane == lane)
    }

    /// The number of running jobs of this lane.
    pub fn count_in(&self, lane: &str) -> usize {
        self.lock().values().filter(|entry| entry.job.lane == lane).count()
    }

    /// The number of slots.
    pub fn pool_size(&self) -> usize {
        self.pool_size
    }

    /// The number of running jobs.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no job is running.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whether every slot is free: no job is running, and no claim that may start one is in progress.
    pub fn is_idle(&self) -> bool {
        self.slots.available_permits() >= self.pool_size
    }

    /// Applies `act` to the entry of a job. Does nothing if the entry has a newer lease.
    fn with_entry<R>(&self, claimed: &ClaimedJob, act: impl FnOnce(&mut RunningJob) -> R) -> Option<R> {
        self.lock().get_mut(&claimed.lease.job_id).filter(|entry| entry.job.lease == claimed.lease).map(act)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, RunningJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::RestartSettings;
    use crate::storage::jobs::Lease;

    fn job(token: i64) -> ClaimedJob {
        ClaimedJob {
            lease: Lease { job_id: JobId::new(uuid::Uuid::nil()), token },
            task_name: "process_credit_application".to_owned(),
            lane: "ES".to_owned(),
            application_id: None,
            args: serde_json::Value::Null,
            attempt: 1,
            waited: Duration::ZERO,
            since_first_claim: Duration::ZERO,
            request_id: None,
            traceparent: None,
            unanswered_reference: None,
        }
    }

    fn with_job(token: i64) -> (RunningJobs, RestartBudget) {
        let settings =
            RestartSettings { max_restarts: 3, within_ms: 1000, backoff_base_ms: 1, backoff_max_ms: 1 };
        let (running, budget) = (RunningJobs::new(2), RestartBudget::new(&settings));
        running.insert(job(token), running.take_slots(1).remove(0), budget.clone());
        (running, budget)
    }

    #[test]
    fn an_end_reported_twice_is_handled_once() {
        let (running, _) = with_job(1);
        let first = running.record_start(&job(1)).unwrap();
        let orphan = running.orphans().remove(0);
        assert_eq!(orphan, (job(1), first));
        assert!(running.record_end(&job(1), first).is_some());
        assert!(running.record_end(&job(1), first).is_none());
        let number_after_the_end = running.orphans().remove(0).1;
        assert_ne!(number_after_the_end, first);
        assert!(
            running.record_end(&job(1), number_after_the_end).is_some(),
            "a new supervisor must be able to restart the job"
        );
        assert_eq!(running.len(), 1);
    }

    #[test]
    fn an_older_lease_can_neither_start_an_actor_nor_stop_the_newer_work() {
        let (running, budget) = with_job(1);
        let old = running.record_start(&job(1)).unwrap();
        running.insert(job(2), running.take_slots(1).remove(0), budget);
        assert_eq!(running.record_start(&job(1)), None);
        running.finish(&job(1));
        assert!(running.record_end(&job(1), old).is_none());
        running.remove(&job(1));
        assert_eq!(running.jobs(), [job(2)]);
    }

    #[test]
    fn a_slot_held_by_a_claim_in_progress_is_not_idle() {
        let (running, _) = with_job(1);
        running.remove(&job(1));
        assert!(running.is_idle());
        let claiming = running.take_slots(1);
        assert!(running.is_empty() && !running.is_idle());
        drop(claiming);
        assert!(running.is_idle());
    }
}
