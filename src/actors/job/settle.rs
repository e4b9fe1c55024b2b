//! Runs an attempt within its time limit and records the result in the queue and the metrics.

use std::time::Duration;

use slog::{Logger, debug, info, warn};

use super::JobParts;
use crate::error::{Error, Result};
use crate::queue::task::{Attempt, Outcome};
use crate::resilience::retry::retry_unavailable;
use crate::storage::jobs::{ClaimedJob, DeadLetter, Release};
use crate::supervision::limited::run_limited;
use crate::telemetry::labels::label_values;
use crate::telemetry::metrics::seconds;
use crate::telemetry::trace::{self, KeyValue, SpanKind};

/// Runs one attempt.
///
/// # Errors
/// [`Error::Panicked`] if the attempt panicked. The result is not recorded, and the supervisor restarts the job's actor.
pub(super) async fn run_attempt(parts: &JobParts, attempt: Attempt) -> Result<()> {
    let job = &attempt.job;
    let span = parts.resources.tracer.enter(job.traceparent.as_deref(), SpanKind::Consumer, || {
        let mut attributes = vec![
            KeyValue::new("job.id", job.lease.job_id.to_string()),
            KeyValue::new("job.attempt", i64::from(job.attempt)),
        ];
        attributes.extend(job.application_id.map(|id| KeyValue::new("application.id", id.to_string())));
        (job.task_name.clone().into(), attributes)
    });
    span.run(run_in_trace(parts, attempt)).await
}

async fn run_in_trace(parts: &JobParts, attempt: Attempt) -> Result<()> {
    let clock = &parts.resources.clock;
    let started = clock.monotonic();
    let timeout = Duration::from_millis(parts.resources.settings.jobs.timeout_ms);
    let result = match parts.tasks.find(&attempt.job.task_name) {
        Some(task) => match run_limited("job", timeout, task.run(&attempt)).await {
            Err(panicked @ Error::Panicked { .. }) => return Err(panicked),
            ended => ended.and_then(|result| result),
        },
        None => Err(Error::internal(format_args!("no task is named {}", attempt.job.task_name))),
    };
    let status = settle(parts, &attempt, result).await;
    trace::set(|| vec![KeyValue::new("job.status", status.as_str())]);
    if matches!(status, AttemptStatus::Failed | AttemptStatus::Retried) {
        trace::fail("the attempt failed");
    }
    let (metrics, task) = (&parts.resources.metrics, attempt.job.task_name.as_str());
    let elapsed = clock.monotonic().saturating_sub(started);
    metrics.worker_tasks_total.with_label_values(&[task, status.as_str()]).inc();
    metrics.worker_task_duration_seconds.with_label_values(&[task]).observe(seconds(elapsed));
    Ok(())
}

label_values! {
    /// The result of an attempt, the label `status` of `worker_tasks_total`.
    pub enum AttemptStatus {
        Success = "success",
        Superseded = "superseded",
        LeaseLost = "lease_lost",
        Snoozed = "snoozed",
        Waiting = "waiting",
        Retried = "retried",
        Failed = "failed",
    }
}

/// Records the result of the attempt in the queue.
async fn settle(parts: &JobParts, attempt: &Attempt, result: Result<Outcome>) -> AttemptStatus {
    let logger = &attempt.logger;
    let error = match result {
        Ok(Outcome::Completed) => return AttemptStatus::Success,
        Ok(Outcome::Superseded) => {
            info!(logger, "job superseded: it is no longer needed");
            return AttemptStatus::Superseded;
        }
        Ok(Outcome::LeaseLost) | Err(Error::LeaseLost) => {
            info!(logger, "lease lost: another worker has the job");
            return AttemptStatus::LeaseLost;
        }
        Ok(Outcome::Snoozed(pause)) => {
            debug!(logger, "job snoozed"; "pause_ms" => pause.as_millis());
            release(parts, attempt, snooze_release(&attempt.job, pause)).await;
            return AttemptStatus::Snoozed;
        }
        Ok(Outcome::WaitingExternal { reference, timeout }) => {
            info!(logger, "job waits for an external response";
                "provider_reference" => &reference, "timeout_ms" => timeout.as_millis());
            let waiting =
                Release { provider_reference: Some(reference), ..snooze_release(&attempt.job, timeout) };
            release(parts, attempt, waiting).await;
            return AttemptStatus::Waiting;
        }
        Err(error) => error,
    };
    if may_retry(parts, &attempt.job, &error) {
        let failed = release_after_failure(parts, &attempt.job, &error);
        warn!(logger, "attempt failed: the job is retried";
            "attempt" => attempt.job.attempt, "pause_ms" => failed.delay_ms, error.clone());
        release(parts, attempt, failed).await;
        return AttemptStatus::Retried;
    }
    warn!(logger, "job given up: it becomes a dead letter"; "attempt" => attempt.job.attempt, error.clone());
    let write = async || write_dead_letter(parts, &attempt.job, &error).await;
    if let Err(error) = retry_unavailable(&parts.resources.clock, logger, write).await {
        warn!(logger, "dead letter not written: the lease will expire"; error);
    }
    AttemptStatus::Failed
}

/// Whether a job that failed with `error` gets another attempt.
pub(in crate::actors) fn may_retry(parts: &JobParts, job: &ClaimedJob, error: &Error) -> bool {
    let task = parts.tasks.find(&job.task_name);
    task.is_some_and(|task| task.retryable(error) && job.attempt < task.max_attempts())
}

/// The release that returns a job to the queue without using an attempt.
fn snooze_release(job: &ClaimedJob, pause: Duration) -> Release {
    Release {
        lease: job.lease,
        delay_ms: i64::try_from(pause.as_millis()).unwrap_or(i64::MAX),
        give_attempt_back: true,
        error: None,
        provider_reference: None,
    }
}

/// The release that returns a job to the queue after a failed attempt, with the backoff of its task.
pub(in crate::actors) fn release_after_failure(parts: &JobParts, job: &ClaimedJob, error: &Error) -> Release {
    let task = parts.tasks.find(&job.task_name);
    let pause = task.map_or(Duration::ZERO, |task| task.pause(job.attempt, &parts.resources.clock));
    Release { give_attempt_back: false, error: Some(error.recorded()), ..snooze_release(job, pause) }
}

/// Turns a job into a dead letter on behalf of an actor or worker that has failed. If the dead letter cannot be written, the
/// scheduler's next sweep finds the job again.
pub(in crate::actors) async fn give_up(parts: &JobParts, logger: &Logger, job: &ClaimedJob, error: &Error) {
    warn!(logger, "job given up: it becomes a dead letter"; "attempt" => job.attempt, error.clone());
    if let Err(error) = write_dead_letter(parts, job, error).await {
        warn!(logger, "dead letter not written: the lease will expire"; error);
    }
}

async fn write_dead_letter(parts: &JobParts, job: &ClaimedJob, error: &Error) -> Result<bool> {
    let (error_type, error_message) = error.recorded();
    let dead_letter = DeadLetter {
        lease: job.lease,
        error_type,
        error_message,
        backtrace: error.private_cause().map(ToOwned::to_owned),
    };
    match parts.tasks.find(&job.task_name) {
        Some(task) => task.give_up(job, dead_letter).await,
        None => parts.write_batchers.write(dead_letter).await,
    }
}

async fn release(parts: &JobParts, attempt: &Attempt, release: Release) {
    let write = async || parts.write_batchers.write(release.clone()).await;
    match retry_unavailable(&parts.resources.clock, &attempt.logger, write).await {
        Ok(true) => {}
        Ok(false) => {
            info!(attempt.logger, "job not returned to the queue: another worker has it, or it has ended")
        }
        Err(error) => warn!(attempt.logger, "job not returned to the queue: the lease will expire"; error),
    }
}
