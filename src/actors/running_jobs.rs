//! The jobs in work on this instance.
//!
//! The supervisor owns this list, but it stands outside of it, so that a supervisor that died is followed by one that
//! knows what runs. Each entry holds one place of the pool for as long as it is in the list, whatever happens to the
//! actor that works on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::application::ApplicationActor;
use super::root::RestartBudget;
use crate::domain::ids::JobId;
use crate::storage::jobs::ClaimedJob;

/// A place of the pool.
pub type Slot = OwnedSemaphorePermit;

/// One job in work.
struct RunningJob {
    job: ClaimedJob,
    actor: Option<Addr<ApplicationActor>>,
    budget: RestartBudget,
    finished: bool,
    _slot: Slot,
}

/// The list. Cheap to clone.
#[derive(Clone)]
pub struct RunningJobs {
    jobs: Arc<Mutex<HashMap<JobId, RunningJob>>>,
    slots: Arc<Semaphore>,
}

impl RunningJobs {
    /// An empty list with `pool_size` places.
    pub fn new(pool_size: usize) -> Self {
        Self { jobs: Arc::default(), slots: Arc::new(Semaphore::new(pool_size)) }
    }

    /// Takes up to `most` free places.
    pub fn take_slots(&self, most: usize) -> Vec<Slot> {
        let take = |_| Arc::clone(&self.slots).try_acquire_owned().ok();
        (0..most).map_while(take).collect()
    }

    /// Puts a job on the list. When it is on it already, under an older lease, the older work is ended.
    pub fn insert(&self, job: ClaimedJob, slot: Slot, budget: RestartBudget) {
        let entry = RunningJob { actor: None, budget, finished: false, _slot: slot, job: job.clone() };
        let former = self.lock().insert(job.lease.job_id, entry);
        // Its lease ran out and this instance claimed the job again: the older actor can change nothing any more.
        if let Some(actor) = former.and_then(|entry| entry.actor) {
            let _ = actor.try_send(super::application::StopWork);
        }
    }

    /// Notes the actor that works on a job.
    pub fn set_actor(&self, job: JobId, actor: Addr<ApplicationActor>) {
        if let Some(entry) = self.lock().get_mut(&job) {
            entry.actor = Some(actor);
        }
    }

    /// Notes that a job's work has ended in an orderly way, so that its actor's end is not a death.
    pub fn finish(&self, claimed: &ClaimedJob) {
        if let Some(entry) =
            self.lock().get_mut(&claimed.lease.job_id).filter(|e| e.job.lease == claimed.lease)
        {
            entry.finished = true;
        }
    }

    /// What to do about an actor that is gone: nothing if its work had ended, else the job with its budget.
    pub fn bury_actor(&self, claimed: &ClaimedJob) -> Option<RestartBudget> {
        let mut jobs = self.lock();
        let entry = jobs.get(&claimed.lease.job_id).filter(|entry| entry.job.lease == claimed.lease)?;
        if entry.finished {
            jobs.remove(&claimed.lease.job_id);
            return None;
        }
        Some(entry.budget.clone())
    }

    /// Keeps what was taken from a job's budget.
    pub fn set_budget(&self, job: JobId, budget: RestartBudget) {
        if let Some(entry) = self.lock().get_mut(&job) {
            entry.budget = budget;
        }
    }

    /// Takes a job off the list.
    pub fn remove(&self, claimed: &ClaimedJob) {
        let mut jobs = self.lock();
        if jobs.get(&claimed.lease.job_id).is_some_and(|entry| entry.job.lease == claimed.lease) {
            jobs.remove(&claimed.lease.job_id);
        }
    }

    /// Jobs on the list whose actor is not alive, for a new supervisor to care for.
    pub fn orphans(&self) -> Vec<ClaimedJob> {
        let alive = |entry: &RunningJob| entry.actor.as_ref().is_some_and(Addr::connected);
        self.lock().values().filter(|entry| !alive(entry)).map(|entry| entry.job.clone()).collect()
    }

    /// The actors at work.
    pub fn actors(&self) -> Vec<Addr<ApplicationActor>> {
        self.lock().values().filter_map(|entry| entry.actor.clone()).collect()
    }

    /// The jobs in work whose end was not noted yet.
    pub fn jobs(&self) -> Vec<ClaimedJob> {
        self.lock().values().filter(|entry| !entry.finished).map(|entry| entry.job.clone()).collect()
    }

    /// How many jobs are in work.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is in work.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, RunningJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
