//! The jobs in work on this instance.
//!
//! The supervisor owns this list, but it stands outside of it, so that a supervisor that died is followed by one that
//! knows what runs. Each entry holds one place of the pool for as long as it is in the list, whatever happens to the
//! actor that works on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::JobId;
use crate::storage::jobs::ClaimedJob;
use crate::supervision::root::RestartBudget;

/// Ends the work on a job now: its lease was lost, or the process ends.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopWork;

/// A place of the pool.
pub type Slot = OwnedSemaphorePermit;

/// Counts what was started for a job and what was seen to die, so that one death, which a watcher and a new supervisor may
/// both report, is answered once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartNumber(u64);

/// One job in work.
struct RunningJob {
    job: ClaimedJob,
    actor: Option<Recipient<StopWork>>,
    start_number: StartNumber,
    budget: RestartBudget,
    finished: bool,
    _slot: Slot,
}

impl RunningJob {
    fn next_start(&mut self) -> StartNumber {
        self.start_number = StartNumber(self.start_number.0.wrapping_add(1));
        self.start_number
    }
}

/// The list. Cheap to clone.
#[derive(Clone)]
pub struct RunningJobs {
    jobs: Arc<Mutex<HashMap<JobId, RunningJob>>>,
    slots: Arc<Semaphore>,
    pool_size: usize,
}

impl RunningJobs {
    /// An empty list with `pool_size` places.
    pub fn new(pool_size: usize) -> Self {
        Self { jobs: Arc::default(), slots: Arc::new(Semaphore::new(pool_size)), pool_size }
    }

    /// Takes up to `most` free places.
    pub fn take_slots(&self, most: usize) -> Vec<Slot> {
        let take = |_| Arc::clone(&self.slots).try_acquire_owned().ok();
        (0..most).map_while(take).collect()
    }

    /// Puts a job on the list. When it is on it already, under an older lease, the older work is ended.
    pub fn insert(&self, job: ClaimedJob, slot: Slot, budget: RestartBudget) {
        let entry = RunningJob {
            actor: None,
            start_number: StartNumber(0),
            budget,
            finished: false,
            _slot: slot,
            job: job.clone(),
        };
        let former = self.lock().insert(job.lease.job_id, entry);
        // Its lease ran out and this instance claimed the job again: the older actor can change nothing any more.
        if let Some(actor) = former.and_then(|entry| entry.actor) {
            let _ = actor.try_send(StopWork);
        }
    }

    /// Counts a replacement of a job's actor; `None` when the job is no longer on the list under this lease.
    pub fn record_start(&self, claimed: &ClaimedJob) -> Option<StartNumber> {
        self.with_entry(claimed, RunningJob::next_start)
    }

    /// Notes the actor that works on a job.
    pub fn set_actor(&self, claimed: &ClaimedJob, actor: Recipient<StopWork>) {
        self.with_entry(claimed, |entry| entry.actor = Some(actor));
    }

    /// Notes that a job's work has ended in an orderly way, so that its actor's end is not a death.
    pub fn finish(&self, claimed: &ClaimedJob) {
        self.with_entry(claimed, |entry| entry.finished = true);
    }

    /// What to do about an actor that is gone: nothing if its work had ended or its death is known already, else the job
    /// needs another, within this budget.
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

    /// Keeps what was taken from a job's budget.
    pub fn set_budget(&self, claimed: &ClaimedJob, budget: RestartBudget) {
        self.with_entry(claimed, |entry| entry.budget = budget);
    }

    /// Takes a job off the list.
    pub fn remove(&self, claimed: &ClaimedJob) {
        let mut jobs = self.lock();
        if jobs.get(&claimed.lease.job_id).is_some_and(|entry| entry.job.lease == claimed.lease) {
            jobs.remove(&claimed.lease.job_id);
        }
    }

    /// Jobs on the list whose actor is not alive, for a new supervisor to care for.
    pub fn orphans(&self) -> Vec<(ClaimedJob, StartNumber)> {
        let alive = |entry: &RunningJob| entry.actor.as_ref().is_some_and(Recipient::connected);
        let orphan = |entry: &RunningJob| (entry.job.clone(), entry.start_number);
        self.lock().values().filter(|entry| !alive(entry)).map(orphan).collect()
    }

    /// The actors at work.
    pub fn actors(&self) -> Vec<Recipient<StopWork>> {
        self.lock().values().filter_map(|entry| entry.actor.clone()).collect()
    }

    /// The jobs in work whose end was not noted yet.
    pub fn jobs(&self) -> Vec<ClaimedJob> {
        self.lock().values().filter(|entry| !entry.finished).map(|entry| entry.job.clone()).collect()
    }

    /// Whether a job of this lane is in work.
    pub fn any_in(&self, lane: &str) -> bool {
        self.lock().values().any(|entry| entry.job.lane == lane)
    }

    /// How many places there are.
    pub fn pool_size(&self) -> usize {
        self.pool_size
    }

    /// How many jobs are in work.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is in work.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whether every place is free: nothing is in work, and no claim is under way that may bring work.
    pub fn is_idle(&self) -> bool {
        self.slots.available_permits() >= self.pool_size
    }

    /// Whoever acts for an older lease than the one on the list finds nothing.
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
            worked_on_for: Duration::ZERO,
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
    fn a_death_that_two_report_is_answered_once() {
        let (running, _) = with_job(1);
        let first = running.record_start(&job(1)).unwrap();
        let seen_by_a_new_supervisor = running.orphans().remove(0);
        assert_eq!(seen_by_a_new_supervisor, (job(1), first));
        assert!(running.record_end(&job(1), first).is_some());
        assert!(running.record_end(&job(1), first).is_none());
        let waits_for_its_restart = running.orphans().remove(0).1;
        assert_ne!(waits_for_its_restart, first);
        assert!(
            running.record_end(&job(1), waits_for_its_restart).is_some(),
            "its supervisor died meanwhile"
        );
        assert_eq!(running.len(), 1);
    }

    #[test]
    fn an_older_lease_can_neither_start_an_actor_nor_end_the_newer_work() {
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
    fn a_place_that_a_claim_under_way_holds_is_not_idle() {
        let (running, _) = with_job(1);
        running.remove(&job(1));
        assert!(running.is_idle());
        let claiming = running.take_slots(1);
        assert!(running.is_empty() && !running.is_idle());
        drop(claiming);
        assert!(running.is_idle());
    }
}
