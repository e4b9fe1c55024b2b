//! What is due: a pure function of the configuration, what the history of runs knows, and the time.
//!
//! Nothing is remembered elsewhere, so that a restart or another leader misses nothing and repeats nothing. A due time of
//! the schedule is dealt with when the history has it, or a later one: however many passed while nobody led, they are one.
//! A run that failed is followed by another after a pause, one that was abandoned by another at once, but only once at
//! once, for it may be what its instances die of. The next due time of the schedule comes before any of that.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::config::{HousekeepingSettings, MissedPolicy, TaskSchedule};
use crate::storage::scheduled_runs::{Cause, Outcome, TaskRecord};

/// The rules that hold for every task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The time zone of the expressions.
    pub zone: Tz,
    /// How late a run may begin and still count as on time.
    pub missed_after: TimeDelta,
    /// The pause after a run that failed.
    pub retry_pause: TimeDelta,
}

impl Rules {
    /// Those of a configuration.
    pub fn of(settings: &HousekeepingSettings) -> Self {
        Self {
            zone: settings.zone(),
            missed_after: settings.missed_after(),
            retry_pause: settings.retry_pause(),
        }
    }
}

/// A run that may begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Why.
    pub cause: Cause,
    /// Since when it is due; no two runs of a task share it.
    pub at: DateTime<Utc>,
}

/// The run of a task that may begin now, if there is one. A run that somebody asked for needs no rule.
pub fn due(schedule: &TaskSchedule, rules: &Rules, record: &TaskRecord, now: DateTime<Utc>) -> Option<Due> {
    let in_time = |at: DateTime<Utc>| schedule.missed == MissedPolicy::Run || now - at <= rules.missed_after;
    let last_due = schedule.cron.last_due(now, rules.zone)?;
    // What claims to be of the future was written by a clock that was wrong, and says nothing of what is due.
    let dealt_with = record.scheduled_until.is_some_and(|until| until >= last_due && until <= now);
    if !dealt_with && in_time(last_due) {
        return Some(Due { cause: Cause::Schedule, at: last_due });
    }
    let at = retry_at(rules, record)?;
    (at <= now && in_time(at)).then_some(Due { cause: Cause::Retry, at })
}

/// When a run that came to nothing is followed by another.
fn retry_at(rules: &Rules, record: &TaskRecord) -> Option<DateTime<Utc>> {
    let last = record.last?;
    let ended = last.finished_at?;
    match last.outcome {
        Outcome::Failed => Some(ended + rules.retry_pause),
        Outcome::Abandoned if last.cause == Cause::Retry => Some(ended + rules.retry_pause),
        Outcome::Abandoned => Some(ended),
        Outcome::Requested | Outcome::Running | Outcome::Completed => None,
    }
}

/// When a task will run next: now, when a run is due, else as its schedule says, or sooner after one that came to
/// nothing. `None` when it is switched off.
pub fn next_due(
    schedule: &TaskSchedule,
    rules: &Rules,
    record: &TaskRecord,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if let Some(due) = due(schedule, rules, record, now) {
        return Some(due.at);
    }
    let next = schedule.cron.next_due(now, rules.zone)?;
    let retry = retry_at(rules, record).filter(|at| *at > now);
    Some(retry.map_or(next, |retry| retry.min(next)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::CronExpression;
    use crate::storage::scheduled_runs::LastRun;

    const RULES: Rules =
        Rules { zone: Tz::UTC, missed_after: TimeDelta::minutes(5), retry_pause: TimeDelta::minutes(15) };

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
        due(&schedule("0 3 * * *", policy), &RULES, record, at(now)).map(|due| (due.cause, due.at))
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
    fn a_run_that_a_wrong_clock_wrote_into_the_future_keeps_nothing_from_running() {
        let of_the_future = record(Some("20T03:00"), Some((Cause::Schedule, Outcome::Completed, "20T03:01")));
        assert_eq!(
            found(MissedPolicy::Run, &of_the_future, "03T03:00"),
            Some((Cause::Schedule, at("03T03:00")))
        );
    }

    #[test]
    fn what_was_missed_runs_once_or_waits_as_its_policy_says() {
        let long_ago = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Completed, "02T03:01")));
        let never = TaskRecord::default();
        for known in [&long_ago, &never] {
            assert_eq!(found(MissedPolicy::Run, known, "07T11:00"), Some((Cause::Schedule, at("07T03:00"))));
            assert_eq!(found(MissedPolicy::Skip, known, "07T11:00"), None);
            // A leader that takes over within the grace is in time.
            assert_eq!(found(MissedPolicy::Skip, known, "07T03:05"), Some((Cause::Schedule, at("07T03:00"))));
            assert_eq!(found(MissedPolicy::Skip, known, "07T03:06"), None);
        }
    }

    #[test]
    fn a_failure_is_followed_by_a_retry_after_the_pause_and_by_the_schedule_before_it() {
        let failed = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Failed, "02T03:01")));
        assert_eq!(found(MissedPolicy::Run, &failed, "02T03:15"), None);
        assert_eq!(found(MissedPolicy::Run, &failed, "02T03:16"), Some((Cause::Retry, at("02T03:16"))));
        assert_eq!(found(MissedPolicy::Run, &failed, "03T03:00"), Some((Cause::Schedule, at("03T03:00"))));
        assert_eq!(found(MissedPolicy::Skip, &failed, "02T04:00"), None);
    }

    #[test]
    fn an_abandoned_run_is_tried_again_at_once_and_after_that_with_a_pause() {
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
        assert_eq!(due(&off, &RULES, &failed, at("09T03:00")), None);
        assert_eq!(next_due(&off, &RULES, &failed, at("09T03:00")), None);
    }

    #[test]
    fn the_next_time_is_that_of_the_retry_when_it_comes_sooner() {
        let daily = schedule("0 3 * * *", MissedPolicy::Run);
        let failed = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Failed, "02T03:01")));
        assert_eq!(next_due(&daily, &RULES, &failed, at("02T03:02")), Some(at("02T03:16")));
        let done = record(Some("02T03:00"), Some((Cause::Schedule, Outcome::Completed, "02T03:01")));
        assert_eq!(next_due(&daily, &RULES, &done, at("02T03:02")), Some(at("03T03:00")));
        assert_eq!(next_due(&daily, &RULES, &TaskRecord::default(), at("02T04:00")), Some(at("02T03:00")));
    }

    /// What happens in one minute of a model's life.
    #[derive(Debug, Clone, Copy)]
    enum Minute {
        /// Somebody leads, and a run that begins ends well.
        Led,
        /// Somebody leads, and a run that begins fails.
        Failing,
        /// Somebody leads, and dies in a run that begins.
        Dying,
        /// Nobody leads.
        Alone,
    }

    fn minutes() -> impl Strategy<Value = Vec<Minute>> {
        let minute = prop_oneof![
            6 => Just(Minute::Led),
            1 => Just(Minute::Failing),
            1 => Just(Minute::Dying),
            2 => Just(Minute::Alone),
        ];
        let stretch = (minute, 1_usize..90).prop_map(|(minute, count)| vec![minute; count]);
        prop::collection::vec(stretch, 1..12).prop_map(|stretches| stretches.concat())
    }

    proptest! {
        /// Leaders come, fail, die and go; the history is all that they share.
        #[test]
        fn no_due_time_runs_twice_and_none_that_somebody_led_through_is_missed(
            life in minutes(), policy in prop_oneof![Just(MissedPolicy::Run), Just(MissedPolicy::Skip)],
        ) {
            let hourly = schedule("*/20 * * * *", policy);
            let mut history = TaskRecord::default();
            let mut dues = std::collections::BTreeSet::new();
            let mut now = at("01T00:00");
            for minute in life {
                if let Some(last) = &mut history.last && last.outcome == Outcome::Running && !matches!(minute, Minute::Alone) {
                    *last = LastRun { outcome: Outcome::Abandoned, finished_at: Some(now), ..*last };
                }
                let last_due = hourly.cron.last_due(now, Tz::UTC).unwrap();
                if !matches!(minute, Minute::Alone) {
                    let found = due(&hourly, &RULES, &history, now);
                    if let Some(due) = found {
                        prop_assert!(dues.insert(due.at), "{} again", due.at);
                        prop_assert!(due.at <= now);
                        let outcome = match minute {
                            Minute::Led | Minute::Alone => Outcome::Completed,
                            Minute::Failing => Outcome::Failed,
                            Minute::Dying => Outcome::Running,
                        };
                        let finished_at = (outcome != Outcome::Running).then_some(now);
                        history.last = Some(LastRun { cause: due.cause, outcome, finished_at });
                        if due.cause == Cause::Schedule {
                            history.scheduled_until = Some(due.at);
                        }
                    }
                    // Whoever leads leaves nothing behind that is due by its policy.
                    let caught_up = history.scheduled_until.is_some_and(|until| until >= last_due);
                    let late = now - last_due > RULES.missed_after;
                    prop_assert!(caught_up || policy == MissedPolicy::Skip && late);
                }
                now += TimeDelta::minutes(1);
            }
        }
    }
}
