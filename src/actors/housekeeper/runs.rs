//! Runs of recurring tasks: taking the one that is due, doing it, and writing down how it ended.

use std::time::Duration;

use slog::{info, warn};
use uuid::Uuid;

use super::schedule::{self, Rules};
use super::tasks::{Lead, Task};
use crate::error::Result;
use crate::resources::Resources;
use crate::storage::scheduled_runs::{self, Cause, Ending, NewRun, Outcome, TaskRecord};
use crate::supervision::limited::run_limited;

/// A run whose row says that it is under way, by this instance.
#[derive(Debug)]
pub(super) struct Begun {
    id: Uuid,
    task: Task,
}

/// Takes the run that is due, if there is one: what somebody asked for first, then what has been due longest. Called by a
/// leader that runs nothing: what the history takes to be under way is given up.
pub(super) async fn begin_due(resources: &Resources) -> Result<Option<Begun>> {
    let (now, metrics) = (resources.clock.now(), &resources.metrics);
    let skew = (now - resources.database.time().await?).abs().to_std().unwrap_or(Duration::MAX);
    if skew > resources.settings.instance.max_clock_skew() {
        // It would delete what has not expired, or write down that it had dealt with days to come.
        warn!(resources.logger, "this instance's clock is wrong: no recurring task begins"; "skew_ms" => skew.as_millis());
        return Ok(None);
    }
    let mut connection = resources.database.get().await?;
    for task in scheduled_runs::abandon_orphans(&mut connection, now).await? {
        warn!(resources.logger, "a recurring task was abandoned"; "task" => &task);
        // Only names that this version knows become labels.
        if let Some(task) = Task::parse(&task) {
            count(resources, task, Outcome::Abandoned);
        }
    }
    let records = scheduled_runs::records(&mut connection, &Task::ALL.map(Task::name)).await?;
    let known: Vec<(Task, TaskRecord)> = Task::ALL.into_iter().zip(records).collect();
    for (task, record) in &known {
        if let Some(at) = record.completed_at {
            let gauge = &metrics.scheduled_task_last_success_timestamp_seconds;
            gauge.with_label_values(&[task.name()]).set(at.timestamp());
        }
    }
    let asked_for = known.iter().filter_map(|(task, record)| Some((*task, record.requested?)));
    for (task, (id, _)) in asked_for {
        if scheduled_runs::begin_requested(&mut connection, id, now, &resources.instance).await? {
            return Ok(Some(Begun { id, task }));
        }
    }
    let settings = &resources.settings.housekeeping;
    let rules = Rules::of(settings);
    let due = |(task, record): &(Task, TaskRecord)| {
        Some((*task, schedule::due(task.schedule(settings), &rules, record, now)?))
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
                info!(resources.logger, "a recurring task is tried again"; "task" => task.name());
            }
            return Ok(Some(Begun { id, task }));
        }
    }
    Ok(None)
}

/// Does a task and writes down how it ended. A run whose end cannot be written down is given up by the leader, whoever
/// that is then.
pub(super) async fn carry_out(resources: Resources, lead: Lead, begun: Begun) {
    let task = begun.task;
    let longest = resources.settings.housekeeping.task_timeout();
    let work = task.run(&resources, &lead);
    let result = run_limited("recurring task", longest, work).await.and_then(|result| result);
    let ending = match result {
        Ok(detail) => Ending { outcome: Outcome::Completed, detail, error: None },
        Err(error) => {
            warn!(resources.logger, "a recurring task failed"; "task" => task.name(), error.clone());
            let outcome = if lead.holds() { Outcome::Failed } else { Outcome::Abandoned };
            Ending { outcome, detail: serde_json::json!({}), error: Some(error.recorded()) }
        }
    };
    count(&resources, task, ending.outcome);
    if let Err(error) = write_down(&resources, begun.id, &ending).await {
        warn!(resources.logger, "the end of a recurring task was not written down"; "task" => task.name(), error);
    }
}

async fn write_down(resources: &Resources, id: Uuid, ending: &Ending) -> Result<()> {
    let mut connection = resources.database.get().await?;
    if !scheduled_runs::finish(&mut connection, id, resources.clock.now(), ending).await? {
        info!(resources.logger, "another leader had given this run up"; "run" => %id);
    }
    Ok(())
}

fn count(resources: &Resources, task: Task, outcome: Outcome) {
    resources.metrics.scheduled_runs_total.with_label_values(&[task.name(), outcome.as_str()]).inc();
}
