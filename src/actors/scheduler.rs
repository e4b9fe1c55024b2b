//! The scheduler: claims jobs for free slots and has the supervisor start them.
//!
//! Queued jobs normally start without waiting for the poll. The instance that queues a job wakes its own scheduler
//! after the commit, and `NOTIFY` wakes the others. The poll finds jobs whose wake-up was lost and jobs that have
//! become due. Wake-ups are combined: any number of them during a claim cause one more round.
//!
//! Each round lists the lanes that this worker currently serves: all lanes of its tasks, except countries whose jobs
//! wait for their bureau (`crate::lending::lane_admission`). The claim itself excludes lanes that operators have
//! paused.

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

/// The actor's name in logs and metrics.
pub const NAME: &str = "scheduler";

/// A hint that there may be jobs to claim.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct Wake;

/// A slot has become free.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct SlotFreed;

/// Stops claiming.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct StopClaiming;

pub struct Scheduler {
    parts: JobParts,
    supervisor: Handle<Supervisor>,
    rounds: ClaimRounds,
    stopped: bool,
    _liveness: LivenessGuard,
}

/// Decides when a round of claiming begins. Rounds do not overlap. A round is repeated before the next poll only if it may
/// find both a free slot and a job.
#[derive(Debug, Default)]
struct ClaimRounds {
    claiming: bool,
    /// Whether the scheduler was woken during the current round.
    woken: bool,
    /// Whether a slot became free during the current round, possibly after the round counted free slots.
    freed: bool,
    /// Whether the last round ended for lack of slots, not for lack of jobs.
    saturated: bool,
    /// The number of consecutive rounds that skipped jobs because other workers had locked them.
    contended: u32,
}

/// The maximum number of times that a round is repeated because of contention. A claim locks its rows for about a
/// millisecond. Rows that stay locked for longer are not locked by a claim, so they can wait for the next poll.
const MAX_CONTENDED_ROUNDS: u32 = 3;

impl ClaimRounds {
    /// Requests a round because there may be jobs. Returns whether it begins now.
    fn begin(&mut self) -> bool {
        if self.claiming {
            self.woken = true;
            return false;
        }
        *self = Self { claiming: true, contended: self.contended, ..Self::default() };
        true
    }

    /// Records that a slot is free. Returns whether to begin a round now.
    fn slot_freed(&mut self) -> bool {
        self.freed |= self.claiming;
        self.saturated && !self.claiming
    }

    /// Records the end of a round. Returns whether to begin another one now.
    fn end(&mut self, saturated: bool, full_batch: bool, contended: bool) -> bool {
        self.claiming = false;
        self.saturated = saturated;
        self.contended = if contended { self.contended + 1 } else { 0 };
        let again = contended && self.contended <= MAX_CONTENDED_ROUNDS;
        if saturated { self.freed } else { self.woken || full_batch || again }
    }

    /// Records that a round failed. The next poll retries it.
    fn fail(&mut self) {
        self.claiming = false;
    }
}

/// The result of one round.
struct RoundOutcome {
    full_batch: bool,
    saturated: bool,
    contended: bool,
}

impl Scheduler {
    /// A scheduler that fills the slots of `parts.running`.
    pub fn new(mut parts: JobParts, supervisor: Handle<Supervisor>, liveness: LivenessGuard) -> Self {
        parts.resources = parts.resources.named(NAME);
        Self { parts, supervisor, rounds: ClaimRounds::default(), stopped: false, _liveness: liveness }
    }

    fn claim(&mut self, ctx: &mut Context<Self>) {
        if self.stopped || !self.rounds.begin() {
            return;
        }
        let (parts, supervisor) = (self.parts.clone(), self.supervisor.clone());
        // Runs as a separate asynchronous task, so a panic becomes an error. The task hands over the claimed jobs
        // itself, so they are not delayed if the scheduler ends.
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

    /// Takes over jobs whose worker failed during their last attempt, and gives them up.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        if self.stopped {
            return;
        }
        let parts = self.parts.clone();
        let sweeping = async move {
            if let Err(error) = sweep_exhausted(&parts).await {
                warn!(parts.resources.logger, "cannot give up jobs whose last attempt lost its worker"; error);
            }
        };
        ctx.spawn(sweeping.into_actor(self));
    }
}

async fn claim_round(parts: &JobParts, supervisor: &Handle<Supervisor>) -> Result<RoundOutcome> {
    let batch = parts.resources.settings.jobs.claim_batch as usize;
    let slots = parts.running.take_slots(batch);
    if slots.is_empty() {
        return Ok(RoundOutcome { full_batch: false, saturated: true, contended: false });
    }
    let claim = new_claim(parts, slots.len(), parts.tasks.quotas(&parts.running).await);
    let claim_once = async |connection: &mut AsyncPgConnection| {
        transaction::single(connection, async |connection| jobs::claim(connection, &claim).await).await
    };
    let claimed = parts.resources.database.run(claim_once).await?;
    debug!(parts.resources.logger, "jobs claimed"; "jobs" => claimed.jobs.len(), "slots" => slots.len());
    let round = RoundOutcome {
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
        warn!(parts.resources.logger, "supervisor unavailable; returning job to the queue"; error);
        give_back(parts, &job).await;
    }
}

async fn sweep_exhausted(parts: &JobParts) -> Result<()> {
    let batch = parts.resources.settings.jobs.claim_batch as usize;
    let claim = new_claim(parts, batch, Vec::new());
    let claim_once = async |connection: &mut AsyncPgConnection| {
        transaction::single(connection, async |connection| jobs::claim_exhausted(connection, &claim).await)
            .await
    };
    let exhausted = parts.resources.database.run(claim_once).await?;
    for job in exhausted {
        let logger = job_logger(&parts.resources.logger, &job);
        let lost = Error::Timeout {
            what: "the worker of the last attempt",
            after: Duration::from_millis(parts.resources.settings.jobs.lease_ms),
        };
        give_up(parts, &logger, &job, &lost).await;
    }
    Ok(())
}

fn new_claim(parts: &JobParts, limit: usize, lanes: Vec<Quota>) -> Claim {
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
        warn!(parts.resources.logger, "cannot return job to the queue; its lease will expire"; error);
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
        if self.rounds.slot_freed() {
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
    fn a_slot_freed_during_a_saturated_round_starts_another() {
        let mut rounds = ClaimRounds::default();
        assert!(rounds.begin());
        assert!(!rounds.slot_freed(), "the running round may still use the slot");
        assert!(rounds.end(true, false, false));
        assert!(rounds.begin());
        assert!(!rounds.end(true, false, false), "the freed slot must cause only one more round");
        assert!(rounds.slot_freed(), "a saturated scheduler must react to a free slot");
    }

    #[test]
    fn wake_ups_during_a_round_cause_one_more_if_there_are_slots() {
        let mut rounds = ClaimRounds::default();
        assert!(rounds.begin());
        assert!(!rounds.begin() && !rounds.begin());
        assert!(rounds.end(false, false, false));
        assert!(rounds.begin());
        assert!(!rounds.end(false, false, false));
        assert!(!rounds.slot_freed(), "no jobs were left to claim");
        assert!(rounds.begin());
        assert!(rounds.end(false, true, false), "a full batch must be followed by a round");
    }

    #[test]
    fn contended_rounds_are_repeated_a_limited_number_of_times() {
        let mut rounds = ClaimRounds::default();
        for _ in 0..MAX_CONTENDED_ROUNDS {
            assert!(rounds.begin());
            assert!(rounds.end(false, false, true));
        }
        assert!(rounds.begin());
        assert!(!rounds.end(false, false, true), "the rows are not held by claims");
        assert!(rounds.begin());
        assert!(!rounds.end(false, false, false));
        assert!(rounds.begin());
        assert!(rounds.end(false, false, true), "the count must restart");
    }

    #[test]
    fn a_failed_round_does_not_block_the_next() {
        let mut rounds = ClaimRounds::default();
        assert!(rounds.begin());
        rounds.fail();
        assert!(rounds.begin());
    }
}
