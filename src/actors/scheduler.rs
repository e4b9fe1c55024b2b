//! The scheduler: claims jobs for the free places of the pool and has them started.
//!
//! No step waits for a timer while the database is reachable. The instance that queues a job nudges its own scheduler
//! after the commit; the others hear of it by `NOTIFY`; a poll catches what both missed and what has become due by time.
//! Wake-ups are coalesced: while a claim is under way, any number of them mean one more round.
//!
//! Each round names the lanes that this worker serves just then: all that its tasks know, but for the countries whose jobs wait
//! for their bureau (`crate::lending::lane_admission`). Lanes that operators have paused are left out by the claim itself.

use std::time::Duration;

use actix::prelude::*;
use diesel_async::AsyncPgConnection;
use slog::{debug, warn};

use super::job::{JobParts, give_up, job_logger, lease_ms};
use crate::actors::supervisor::{StartJob, Supervisor};
use crate::error::{Error, Result};
use crate::queue::running_jobs::Slot;
use crate::storage::jobs::{self, Claim, ClaimedJob, Quota, Release};
use crate::storage::transaction;
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::telemetry::metrics::seconds;

/// The role's name, in logs and metrics.
pub const NAME: &str = "scheduler";

/// There may be something to claim.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct Wake;

/// A place of the pool has become free.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct SlotFreed;

/// Claims nothing more.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct StopClaiming;

/// The actor.
pub struct Scheduler {
    parts: JobParts,
    supervisor: Handle<Supervisor>,
    rounds: ClaimRounds,
    stopped: bool,
    _liveness: LivenessGuard,
}

/// When to claim: one round at a time, and none in vain that would have to wait for the poll.
#[derive(Debug, Default)]
struct ClaimRounds {
    claiming: bool,
    /// Somebody woke it while it claimed.
    woken: bool,
    /// A place became free while it claimed, perhaps after the round had looked for places.
    freed: bool,
    /// The last round ended for want of places, not of jobs.
    saturated: bool,
    /// Rounds in a row that left jobs to others who claimed at the same moment.
    contended: u32,
}

/// Rounds that follow each other because others hold what they saw; then the poll is soon enough. A claim takes a
/// millisecond, so that whoever holds a job for longer is no claim.
const MAX_CONTENDED_ROUNDS: u32 = 3;

impl ClaimRounds {
    /// There may be jobs: whether a round begins now.
    fn begin(&mut self) -> bool {
        if self.claiming {
            self.woken = true;
            return false;
        }
        *self = Self { claiming: true, contended: self.contended, ..Self::default() };
        true
    }

    /// A place is free: whether it is worth a round now.
    fn place_freed(&mut self) -> bool {
        self.freed |= self.claiming;
        self.saturated && !self.claiming
    }

    /// A round ended: whether another is worth it now.
    fn end(&mut self, saturated: bool, full_batch: bool, contended: bool) -> bool {
        self.claiming = false;
        self.saturated = saturated;
        self.contended = if contended { self.contended + 1 } else { 0 };
        let again = contended && self.contended <= MAX_CONTENDED_ROUNDS;
        if saturated { self.freed } else { self.woken || full_batch || again }
    }

    /// A round failed: the poll tries again.
    fn fail(&mut self) {
        self.claiming = false;
    }
}

/// What one round brought.
struct Round {
    full_batch: bool,
    saturated: bool,
    contended: bool,
}

impl Scheduler {
    /// A scheduler that fills the places of `parts.running`.
    pub fn new(mut parts: JobParts, supervisor: Handle<Supervisor>, liveness: LivenessGuard) -> Self {
        parts.resources = parts.resources.named(NAME);
        Self { parts, supervisor, rounds: ClaimRounds::default(), stopped: false, _liveness: liveness }
    }

    fn claim(&mut self, ctx: &mut Context<Self>) {
        if self.stopped || !self.rounds.begin() {
            return;
        }
        let (parts, supervisor) = (self.parts.clone(), self.supervisor.clone());
        // A task of its own: a panic in it comes back as an error. It hands over what it has claimed by itself, so that jobs
        // are not held up by the end of the scheduler that wanted them.
        let task = actix_rt::spawn(async move { claim_round(&parts, &supervisor).await });
        ctx.spawn(task.into_actor(self).map(|ended, scheduler, ctx| {
            let ended = ended.map_err(Error::internal).and_then(|round| round);
            let resources = &scheduler.parts.resources;
            resources.work.claiming.record(ended.is_ok(), resources.clock.monotonic());
            match ended {
                Ok(round) => {
                    if scheduler.rounds.end(round.saturated, round.full_batch, round.contended) {
                        scheduler.claim(ctx);
                    }
                }
                Err(error) => {
                    warn!(scheduler.parts.resources.logger, "claiming failed"; error);
                    scheduler.rounds.fail();
                }
            }
        }));
    }

    /// Jobs whose worker died at their last attempt are nobody's: they are taken over and given up.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        if self.stopped {
            return;
        }
        let parts = self.parts.clone();
        let sweeping = async move {
            if let Err(error) = sweep_exhausted(&parts).await {
                warn!(parts.resources.logger, "sweeping failed"; error);
            }
        };
        ctx.spawn(sweeping.into_actor(self));
    }
}

async fn claim_round(parts: &JobParts, supervisor: &Handle<Supervisor>) -> Result<Round> {
    let batch = parts.resources.settings.jobs.claim_batch as usize;
    let slots = parts.running.take_slots(batch);
    if slots.is_empty() {
        return Ok(Round { full_batch: false, saturated: true, contended: false });
    }
    let claim = claim(parts, slots.len(), parts.tasks.quotas(&parts.running).await);
    let claim_once = async |connection: &mut AsyncPgConnection| {
        transaction::single(connection, async |connection| jobs::claim(connection, &claim).await).await
    };
    let claimed = parts.resources.database.run(claim_once).await?;
    debug!(parts.resources.logger, "claimed"; "jobs" => claimed.jobs.len(), "places" => slots.len());
    let round = Round {
        full_batch: claimed.jobs.len() >= batch,
        saturated: claimed.jobs.len() == slots.len() && slots.len() < batch,
        contended: claimed.contended,
    };
    for (job, slot) in claimed.jobs.into_iter().zip(slots) {
        start(parts, supervisor, job, slot).await;
    }
    Ok(round)
}

async fn start(parts: &JobParts, supervisor: &Handle<Supervisor>, job: ClaimedJob, slot: Slot) {
    parts.resources.metrics.worker_job_wait_seconds.observe(seconds(job.waited));
    if let Err(error) = supervisor.tell(StartJob { job: job.clone(), slot }) {
        warn!(parts.resources.logger, "the supervisor takes no job: it goes back"; error);
        give_back(parts, &job).await;
    }
}

async fn sweep_exhausted(parts: &JobParts) -> Result<()> {
    let batch = parts.resources.settings.jobs.claim_batch as usize;
    let claim = claim(parts, batch, Vec::new());
    let claim_once = async |connection: &mut AsyncPgConnection| {
        transaction::single(connection, async |connection| jobs::claim_exhausted(connection, &claim).await)
            .await
    };
    let dead = parts.resources.database.run(claim_once).await?;
    for job in dead {
        let logger = job_logger(&parts.resources.logger, &job);
        let lost = Error::Timeout {
            what: "the worker of the last attempt",
            after: Duration::from_millis(parts.resources.settings.jobs.lease_ms),
        };
        give_up(parts, &logger, &job, &lost).await;
    }
    Ok(())
}

fn claim(parts: &JobParts, limit: usize, lanes: Vec<Quota>) -> Claim {
    Claim {
        worker: parts.resources.instance.to_string(),
        limit: i32::try_from(limit).unwrap_or(i32::MAX),
        lease_ms: lease_ms(&parts.resources),
        tasks: parts.tasks.known(),
        lanes,
    }
}

async fn give_back(parts: &JobParts, job: &ClaimedJob) {
    let pause = parts.resources.settings.jobs.overflow_snooze_ms;
    let release = Release {
        lease: job.lease,
        delay_ms: i64::try_from(pause).unwrap_or(i64::MAX),
        give_attempt_back: true,
        error: None,
        provider_reference: None,
    };
    if let Err(error) = parts.write_batchers.write(release).await {
        warn!(parts.resources.logger, "job not given back: its lease will run out"; error);
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.parts.resources.settings.actors.mailbox_capacity);
        let poll = Duration::from_millis(self.parts.resources.settings.jobs.poll_interval_ms);
        ctx.run_interval(poll, |scheduler, ctx| {
            scheduler.claim(ctx);
            scheduler.sweep(ctx);
        });
        self.claim(ctx);
    }
}

impl Handler<Wake> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.parts.resources.faults.pass(FaultPoint::Scheduler, None);
        self.claim(ctx);
    }
}

impl Handler<SlotFreed> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: SlotFreed, ctx: &mut Self::Context) {
        if self.rounds.place_freed() {
            self.claim(ctx);
        }
    }
}

impl Handler<StopClaiming> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: StopClaiming, _: &mut Self::Context) {
        self.stopped = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_becomes_free_during_a_round_that_found_none_leads_to_another() {
        let mut rounds = ClaimRounds::default();
        assert!(rounds.begin());
        assert!(!rounds.place_freed(), "the round may still find it");
        assert!(rounds.end(true, false, false));
        assert!(rounds.begin());
        assert!(!rounds.end(true, false, false), "it was asked for once");
        assert!(rounds.place_freed(), "now a free place is what it waits for");
    }

    #[test]
    fn wake_ups_during_a_round_mean_one_more_when_there_are_places() {
        let mut rounds = ClaimRounds::default();
        assert!(rounds.begin());
        assert!(!rounds.begin() && !rounds.begin());
        assert!(rounds.end(false, false, false));
        assert!(rounds.begin());
        assert!(!rounds.end(false, false, false));
        assert!(!rounds.place_freed(), "there is nothing to claim");
        assert!(rounds.begin());
        assert!(rounds.end(false, true, false), "a full batch leaves more behind");
    }

    #[test]
    fn rounds_that_leave_jobs_to_others_are_followed_by_a_few_more_and_not_for_ever() {
        let mut rounds = ClaimRounds::default();
        for _ in 0..MAX_CONTENDED_ROUNDS {
            assert!(rounds.begin());
            assert!(rounds.end(false, false, true));
        }
        assert!(rounds.begin());
        assert!(!rounds.end(false, false, true), "whoever holds them is no claim");
        assert!(rounds.begin());
        assert!(!rounds.end(false, false, false));
        assert!(rounds.begin());
        assert!(rounds.end(false, false, true), "the count begins anew");
    }

    #[test]
    fn a_round_that_failed_does_not_keep_the_next_from_beginning() {
        let mut rounds = ClaimRounds::default();
        assert!(rounds.begin());
        rounds.fail();
        assert!(rounds.begin());
    }
}
