//! Runs of scheduled tasks: starting the one that is due, running it, and recording the result.

use std::time::Duration;

use slog::{info, warn};
use uuid::Uuid;

use super::schedule::{self, ScheduleSettings};
use super::tasks::{Lead, ScheduledTask};
use crate::error::Result;
use crate::resources::Resources;
use crate::storage::scheduled_runs::{self, Cause, Ending, NewRun, Outcome, TaskRecord};
use crate::supervision::limited::run_limited;

/// A run that this instance has started and recorded.
#[derive(Debug)]
pub(super) struct BegunRun {
    id: Uuid,
    task: ScheduledTask,
}

/// Records the start of the run that is due, if any: requested runs first, then the one that has been due longest. The
/// caller must be the leader and run no task. Therefore any run that the history still shows as running is marked as
/// abandoned.
pub(super) async fn begin_due(resources: &Resources) -> Result<Option<BegunRun>> {
    let (now, metrics) = (resources.clock.now(), &resources.metrics);
    let skew = (now - resources.database.time().await?).abs().to_std().unwrap_or(Duration::MAX);
    if skew > resources.settings.instance.max_clock_skew() {
        // A wrong clock could delete rows that have not expired, or record due times in the future as done.
        warn!(resources.logger, "this instance's clock is wrong: no scheduled task is started"; "skew_ms" => skew.as_millis());
        return Ok(None);
    }
    let mut connection = resources.database.get().await?;
    for task in scheduled_runs::abandon_orphans(&mut connection, now).await? {
        warn!(resources.logger, "scheduled task abandoned"; "task" => &task);
        // Only names that are known to this version become metric labels.
        if let Some(task) = ScheduledTask::parse(&task) {
            count(resources, task, Outcome::Abandoned);
        }
    }
    let records =
        scheduled_runs::records(&mut connection, &ScheduledTask::ALL.map(ScheduledTask::name)).await?;
    let known: Vec<(ScheduledTask, TaskRecord)> = ScheduledTask::ALL.into_iter().zip(records).collect();
    for (task, record) in &known {
        if let Some(at) = record.completed_at {
            let gauge = &metrics.scheduled_task_last_success_timestamp_seconds;
            gauge.with_label_values(&[task.name()]).set(at.timestamp() as f64);
        }
    }
    let requested = known.iter().filter_map(|(task, record)| Some((*task, record.requested?)));
    for (task, (id, _)) in requested {
        if scheduled_runs::begin_requested(&mut connection, id, now, &resources.instance).await? {
            return Ok(Some(BegunRun { id, task }));
        }
    }
    let settings = &resources.settings.housekeeping;
    let schedule_settings = ScheduleSettings::of(settings);
    let due = |(task, record): &(ScheduledTask, TaskRecord)| {
        Some((*task, schedule::due(task.schedule(settings), &schedule_settings, record, now)?))
    };
    let mut due: Vec<_> = known.iter().filter_map(due).collect();
    due.sort_by_key(|(_, due)| due.at);
    for (task, due) in due {
        let id = resources.clock.new_uuid();
        let run = NewRun {
            id,
            task: task.name(),
            cause: due.cause,
            due_at: due.at,
            started_at: now,
            instance: &resources.instance,
        };
        if scheduled_runs::begin(&mut connection, &run).await? {
            if due.cause == Cause::Retry {
                info!(resources.logger, "scheduled task is retried"; "task" => task.name());
            }
            return Ok(Some(BegunRun { id, task }));
        }
    }
    Ok(None)
}

/// Runs a task and records the result. If the result cannot be recorded, a leader later marks the run as abandoned.
pub(super) async fn carry_out(resources: Resources, lead: Lead, begun: BegunRun) {
    let task = begun.task;
    let timeout = resources.settings.housekeeping.task_timeout();
    let work = task.run(&resources, &lead);
    let result = run_limited("scheduled task", timeout, work).await.and_then(|result| result);
    let ending = match result {
        Ok(detail) => Ending { outcome: Outcome::Completed, detail, error: None },
        Err(error) => {
            warn!(resources.logger, "scheduled task failed"; "task" => task.name(), error.clone());
            let outcome = if lead.holds() { Outcome::Failed } else { Outcome::Abandoned };
            Ending { outcome, detail: serde_json::json!({}), error: Some(error.recorded()) }
        }
    };
    count(&resources, task, ending.outcome);
    if let Err(error) = record_result(&resources, begun.id, &ending).await {
        warn!(resources.logger, "the result of a scheduled task could not be recorded"; "task" => task.name(), error);
    }
}

async fn record_result(resources: &Resources, id: Uuid, ending: &Ending) -> Result<()> {
    let mut connection = resources.database.get().await?;
    if !scheduled_runs::finish(&mut connection, id, resources.clock.now(), ending).await? {
        info!(resources.logger, "another leader has marked this run as abandoned"; "run" => %id);
    }
    Ok(())
}

fn count(resources: &Resources, task: ScheduledTask, outcome: Outcome) {
    resources.metrics.scheduled_runs_total.with_label_values(&[task.name(), outcome.as_str()]).inc();
}
