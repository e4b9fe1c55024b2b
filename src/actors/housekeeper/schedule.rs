//! Decides which runs are due: a pure function of the configuration, the history of runs and the time.
//!
//! There is no other state, so a restart or a change of leader neither skips nor repeats a run. A due time counts as handled
//! if the history contains it or a later one, so any number of due times that pass without a leader lead to one run. A
//! failed run is retried after a pause. An abandoned run is retried immediately, but only once, because the run itself may
//! have caused its instance to crash. The next due time of the schedule takes precedence over retries.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::config::{HousekeepingSettings, MissedPolicy, TaskSchedule};
use crate::storage::scheduled_runs::{Cause, Outcome, TaskRecord};

/// The settings that all tasks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// The time zone of the cron expressions.
    pub zone: Tz,
    /// How long after its due time a run may start without counting as missed.
    pub missed_after: TimeDelta,
    /// The pause after a failed run.
    pub retry_pause: TimeDelta,
}

impl ScheduleSettings {
    pub fn of(settings: &HousekeepingSettings) -> Self {
        Self {
            zone: settings.zone(),
            missed_after: settings.missed_after(),
            retry_pause: settings.retry_pause(),
        }
    }
}

/// A run that may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub cause: Cause,
    /// When it became due. No two runs of a task share this time.
    pub at: DateTime<Utc>,
}

/// The scheduled run or retry of a task that may start now, if any. Requested runs do not depend on the schedule.
pub fn due(
    schedule: &TaskSchedule,
    settings: &ScheduleSettings,
    record: &TaskRecord,
    now: DateTime<Utc>,
) -> Option<Due> {
    let is_on_time =
        |at: DateTime<Utc>| schedule.missed == MissedPolicy::Run || now - at <= settings.missed_after;
    let last_due = schedule.cron.last_due(now, settings.zone)?;
    // A due time in the future was recorded by a wrong clock and is ignored.
    let is_handled = record.scheduled_until.is_some_and(|until| until >= last_due && until <= now);
    if !is_handled && is_on_time(last_due) {
        return Some(Due { cause: Cause::Schedule, at: last_due });
    }
    let at = retry_at(settings, record)?;
    (at <= now && is_on_time(at)).then_some(Due { cause: Cause::Retry, at })
}

/// When the last run is retried; `None` if it did not fail.
fn retry_at(settings: &ScheduleSettings, record: &TaskRecord) -> Option<DateTime<Utc>> {
    let last = record.last?;
    let ended = last.finished_at?;
    match last.outcome {
        Outcome::Failed => Some(ended + settings.retry_pause),
        Outcome::Abandoned if last.cause == Cause::Retry => Some(ended + settings.retry_pause),
        Outcome::Abandoned => Some(ended),
        Outcome::Requested | Outcome::Running | Outcome::Completed => None,
    }
}

/// When a task runs next: now if a run is due, otherwise at the next due time of the schedule or of a retry. `None` if the
/// task is switched off.
pub fn next_due(
    schedule: &TaskSchedule,
    settings: &ScheduleSettings,
    record: &TaskRecord,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if let Some(due) = due(schedule, settings, record, now) {
        return Some(due.at);
    }
    let next = schedule.cron.next_due(now, settings.zone)?;
    let retry = retry_at(settings, record).filter(|at| *at > now);
    Some(retry.map_or(next, |retry| retry.min(next)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::CronExpression;
    use crate::storage::scheduled_runs::LastRun;

    const SETTINGS: ScheduleSettings = ScheduleSettings {
        zone: Tz::UTC,
        missed_after: TimeDelta::minutes(5),
        retry_pause: TimeDelta::minutes(15),
    };

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-{text}:00Z").parse().unwrap()
    }

    fn schedule(cron: &str, missed: MissedPolicy) -> TaskSchedule {
        TaskSchedule { cron: CronExpression::from(cron.to_owned()), missed }
    }

    fn record(until: Option<&str>, last: Option<(Cause, Outcome, &str)>) -> TaskRecord {
        TaskRecord {
            scheduled_until: until.map(at),
            last: last.map(|(cause, outcome, ended)| LastRun {
                cause,
                outcome,
                finished_at: Some(at(ended)),
            }),
            ..TaskRecord::default()
        }
    }

    fn found(policy: MissedPolicy, record: &TaskRecord, now: &str) -> Option<(Cause, DateTime<Utc>)> {
        due(&schedule("0 3 * * *", policy), &SETTINGS, record, at(now)).map(|due| (due.cause, due.at))
    }

    #[test]
    fn a_task_is_due_once_for_each_of_its_times() {
        let done = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Completed, "02T03:01")));
        for policy in [MissedPolicy::Run, MissedPolicy::Skip] {
            assert_eq!(found(policy, &done, "03T02:59"), None);
            assert_eq!(found(policy, &done, "03T03:00"), Some((Cause::Schedule, at("03T03:00"))));
        }
    }

    #[test]
    fn a_run_recorded_in_the_future_by_a_wrong_clock_does_not_block_later_runs() {
        let future = record(Some("20T03:00"), Some((Cause::Schedule, Outcome::Completed, "20T03:01")));
        assert_eq!(found(MissedPolicy::Run, &future, "03T03:00"), Some((Cause::Schedule, at("03T03:00"))));
    }

    #[test]
    fn missed_runs_are_run_once_or_skipped_depending_on_the_policy() {
        let long_ago = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Completed, "02T03:01")));
        let never = TaskRecord::default();
        for known in [&long_ago, &never] {
            assert_eq!(found(MissedPolicy::Run, known, "07T11:00"), Some((Cause::Schedule, at("07T03:00"))));
            assert_eq!(found(MissedPolicy::Skip, known, "07T11:00"), None);
            // A leader that takes over within the grace period is on time.
            assert_eq!(found(MissedPolicy::Skip, known, "07T03:05"), Some((Cause::Schedule, at("07T03:00"))));
            assert_eq!(found(MissedPolicy::Skip, known, "07T03:06"), None);
        }
    }

    #[test]
    fn a_failed_run_is_retried_after_the_pause_unless_the_schedule_comes_first() {
        let failed = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Failed, "02T03:01")));
        assert_eq!(found(MissedPolicy::Run, &failed, "02T03:15"), None);
        assert_eq!(found(MissedPolicy::Run, &failed, "02T03:16"), Some((Cause::Retry, at("02T03:16"))));
        assert_eq!(found(MissedPolicy::Run, &failed, "03T03:00"), Some((Cause::Schedule, at("03T03:00"))));
        assert_eq!(found(MissedPolicy::Skip, &failed, "02T04:00"), None);
    }

    #[test]
    fn an_abandoned_run_is_retried_immediately_and_then_after_a_pause() {
        let first = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Abandoned, "02T03:02")));
        assert_eq!(found(MissedPolicy::Run, &first, "02T03:02"), Some((Cause::Retry, at("02T03:02"))));
        assert_eq!(found(MissedPolicy::Skip, &first, "02T03:03"), Some((Cause::Retry, at("02T03:02"))));
        let again = record(Some("02T03:00"), Some((Cause::Retry, Outcome::Abandoned, "02T03:04")));
        assert_eq!(found(MissedPolicy::Run, &again, "02T03:18"), None);
        assert_eq!(found(MissedPolicy::Run, &again, "02T03:19"), Some((Cause::Retry, at("02T03:19"))));
    }

    #[test]
    fn a_task_that_is_off_is_never_due() {
        let failed = record(None, Some((Cause::Request, Outcome::Failed, "02T03:01")));
        let off = schedule("off", MissedPolicy::Run);
        assert_eq!(due(&off, &SETTINGS, &failed, at("09T03:00")), None);
        assert_eq!(next_due(&off, &SETTINGS, &failed, at("09T03:00")), None);
    }

    #[test]
    fn the_next_run_is_the_retry_if_that_comes_first() {
        let daily = schedule("0 3 * * *", MissedPolicy::Run);
        let failed = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Failed, "02T03:01")));
        assert_eq!(next_due(&daily, &SETTINGS, &failed, at("02T03:02")), Some(at("02T03:16")));
        let done = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Completed, "02T03:01")));
        assert_eq!(next_due(&daily, &SETTINGS, &done, at("02T03:02")), Some(at("03T03:00")));
        assert_eq!(next_due(&daily, &SETTINGS, &TaskRecord::default(), at("02T04:00")), Some(at("02T03:00")));
    }

    /// What happens during one simulated minute.
    #[derive(Debug, Clone, Copy)]
    enum Minute {
        /// There is a leader. A run that starts in this minute succeeds.
        Led,
        /// There is a leader. A run that starts in this minute fails.
        Failing,
        /// There is a leader. If a run starts in this minute, the leader crashes during the run.
        Crashing,
        /// There is no leader.
        Leaderless,
    }

    fn minutes() -> impl Strategy<Value = Vec<Minute>> {
        let minute = prop_oneof![
            6 => Just(Minute::Led),
            1 => Just(Minute::Failing),
            1 => Just(Minute::Crashing),
            2 => Just(Minute::Leaderless),
        ];
        let stretch = (minute, 1_usize..90).prop_map(|(minute, count)| vec![minute; count]);
        prop::collection::vec(stretch, 1..12).prop_map(|stretches| stretches.concat())
    }

    proptest! {
        /// Leaders take over from each other and share only the history.
        #[test]
        fn no_due_time_runs_twice_and_none_is_missed_while_there_is_a_leader(
            timeline in minutes(), policy in prop_oneof![Just(MissedPolicy::Run), Just(MissedPolicy::Skip)],
        ) {
            let every_20_minutes = schedule("*/20 * * * *", policy);
            let mut history = TaskRecord::default();
            let mut dues = std::collections::BTreeSet::new();
            let mut now = at("01T00:00");
            for minute in timeline {
                if let Some(last) = &mut history.last
                    && last.outcome == Outcome::Running
                    && !matches!(minute, Minute::Leaderless)
                {
                    *last = LastRun { outcome: Outcome::Abandoned, finished_at: Some(now), ..*last };
                }
                let last_due = every_20_minutes.cron.last_due(now, Tz::UTC).unwrap();
                if !matches!(minute, Minute::Leaderless) {
                    let found = due(&every_20_minutes, &SETTINGS, &history, now);
                    if let Some(due) = found {
                        prop_assert!(dues.insert(due.at), "{} is due twice", due.at);
                        prop_assert!(due.at <= now);
                        let outcome = match minute {
                            Minute::Led | Minute::Leaderless => Outcome::Completed,
                            Minute::Failing => Outcome::Failed,
                            Minute::Crashing => Outcome::Running,
                        };
                        let finished_at = (outcome != Outcome::Running).then_some(now);
                        history.last = Some(LastRun { cause: due.cause, outcome, finished_at });
                        if due.cause == Cause::Schedule {
                            history.scheduled_until = Some(due.at);
                        }
                    }
                    // While there is a leader, no run that the policy requires stays due.
                    let caught_up = history.scheduled_until.is_some_and(|until| until >= last_due);
                    let late = now - last_due > SETTINGS.missed_after;
                    prop_assert!(caught_up || policy == MissedPolicy::Skip && late);
                }
                now += TimeDelta::minutes(1);
            }
        }
    }
}
