//! `[housekeeping]` and `[archive]`: schedules of scheduled tasks, and when closed months are archived.

use std::str::FromStr as _;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::Deserialize;

use super::require;
use crate::error::Result;

const YEAR_MS: u64 = 365 * 86_400_000;

/// Schedules of the scheduled tasks, and limits on their runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HousekeepingSettings {
    /// The time zone of the cron expressions, an IANA name.
    pub time_zone: String,
    /// How long after its due time a run may begin before it counts as missed.
    pub missed_after_ms: u64,
    /// Delay before a failed run is retried.
    pub retry_pause_ms: u64,
    /// The maximum duration of a run.
    pub task_timeout_ms: u64,
    /// How long changes of circuit breakers are kept.
    pub circuit_retention_days: u32,
    /// How long the history of runs is kept.
    pub run_retention_days: u32,
    /// `[housekeeping.make_partitions]`
    pub make_partitions: TaskSchedule,
    /// `[housekeeping.expire_credentials]`
    pub expire_credentials: TaskSchedule,
    /// `[housekeeping.expire_outbox]`
    pub expire_outbox: TaskSchedule,
    /// `[housekeeping.expire_consumed_events]`
    pub expire_consumed_events: TaskSchedule,
    /// `[housekeeping.expire_idempotency_keys]`
    pub expire_idempotency_keys: TaskSchedule,
    /// `[housekeeping.expire_document_claims]`
    pub expire_document_claims: TaskSchedule,
    /// `[housekeeping.expire_staff_views]`
    pub expire_staff_views: TaskSchedule,
    /// `[housekeeping.expire_security_events]`
    pub expire_security_events: TaskSchedule,
    /// `[housekeeping.expire_webhooks]`
    pub expire_webhooks: TaskSchedule,
    /// `[housekeeping.expire_webhook_deliveries]`
    pub expire_webhook_deliveries: TaskSchedule,
    /// `[housekeeping.expire_ingested_events]`
    pub expire_ingested_events: TaskSchedule,
    /// `[housekeeping.expire_job_history]`
    pub expire_job_history: TaskSchedule,
    /// `[housekeeping.expire_circuit_changes]`
    pub expire_circuit_changes: TaskSchedule,
    /// `[housekeeping.expire_scheduled_runs]`
    pub expire_scheduled_runs: TaskSchedule,
    /// `[housekeeping.archive]`
    pub archive: TaskSchedule,
}

/// When a task is due.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSchedule {
    /// When the task is due.
    pub cron: CronExpression,
    /// What happens to due times that passed while there was no leader.
    pub missed: MissedPolicy,
}

/// What happens to due times that passed while there was no leader. Several missed due times count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissedPolicy {
    /// The task runs as soon as there is a leader again.
    Run,
    /// The task waits for its next due time.
    Skip,
}

/// A cron expression with five fields, or `off`.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub struct CronExpression {
    text: String,
    parsed: Result<Option<Cron>, String>,
}

impl From<String> for CronExpression {
    /// Never fails: a parse error is kept, and validation reports it together with its key.
    fn from(text: String) -> Self {
        let parsed = match text.trim() {
            "" | "off" => Ok(None),
            pattern => parse(pattern).map(Some),
        };
        Self { text, parsed }
    }
}

fn parse(pattern: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(pattern).map_err(|error| error.to_string())?;
    // "30 February" parses but never occurs.
    match cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false) {
        Ok(_) => Ok(cron),
        Err(error) => Err(error.to_string()),
    }
}

impl CronExpression {
    /// The expression as configured.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The latest due time at or before `now`, truncated to the second.
    pub fn last_due(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let found = self.cron()?.find_previous_occurrence(&now.with_timezone(&zone), true).ok()?;
        // The parser returns `now` with its fraction if its second matches.
        Some(whole_second(found.with_timezone(&Utc)))
    }

    /// The first due time after `now`.
    pub fn next_due(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let found = self.cron()?.find_next_occurrence(&now.with_timezone(&zone), false).ok()?;
        Some(whole_second(found.with_timezone(&Utc)))
    }

    fn cron(&self) -> Option<&Cron> {
        self.parsed.as_ref().ok()?.as_ref()
    }
}

fn whole_second(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time)
}

impl HousekeepingSettings {
    pub(crate) fn zone(&self) -> Tz {
        Tz::from_str(&self.time_zone).unwrap_or(Tz::UTC)
    }

    pub(crate) fn missed_after(&self) -> TimeDelta {
        milliseconds(self.missed_after_ms)
    }

    pub(crate) fn retry_pause(&self) -> TimeDelta {
        milliseconds(self.retry_pause_ms)
    }

    pub(crate) fn task_timeout(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.task_timeout_ms)
    }

    fn tasks(&self) -> [(&'static str, &TaskSchedule); 15] {
        [
            ("make_partitions", &self.make_partitions),
            ("expire_credentials", &self.expire_credentials),
            ("expire_outbox", &self.expire_outbox),
            ("expire_consumed_events", &self.expire_consumed_events),
            ("expire_idempotency_keys", &self.expire_idempotency_keys),
            ("expire_document_claims", &self.expire_document_claims),
            ("expire_staff_views", &self.expire_staff_views),
            ("expire_security_events", &self.expire_security_events),
            ("expire_webhooks", &self.expire_webhooks),
            ("expire_webhook_deliveries", &self.expire_webhook_deliveries),
            ("expire_ingested_events", &self.expire_ingested_events),
            ("expire_job_history", &self.expire_job_history),
            ("expire_circuit_changes", &self.expire_circuit_changes),
            ("expire_scheduled_runs", &self.expire_scheduled_runs),
            ("archive", &self.archive),
        ]
    }

    pub(super) fn validate(&self) -> Result<()> {
        let known = Tz::from_str(&self.time_zone).is_ok();
        require(known, "housekeeping.time_zone", "must be an IANA time zone name such as UTC")?;
        require(
            (1000..=YEAR_MS).contains(&self.missed_after_ms),
            "housekeeping.missed_after_ms",
            "must be from 1000 to 31536000000 (a year)",
        )?;
        require(
            (1000..=YEAR_MS).contains(&self.retry_pause_ms),
            "housekeeping.retry_pause_ms",
            "must be from 1000 to 31536000000 (a year)",
        )?;
        require(self.task_timeout_ms >= 1000, "housekeeping.task_timeout_ms", "must be at least 1000")?;
        let days = 1..=36_500;
        require(
            days.contains(&self.run_retention_days),
            "housekeeping.run_retention_days",
            "must be from 1 to 36500",
        )?;
        require(
            days.contains(&self.circuit_retention_days),
            "housekeeping.circuit_retention_days",
            "must be from 1 to 36500",
        )?;
        for (task, schedule) in self.tasks() {
            if let Err(reason) = &schedule.cron.parsed {
                let rule = format!(
                    "must be five cron fields (minute, hour, day of month, month, day of week) or off, but is {:?}: {reason}",
                    schedule.cron.text
                );
                require(false, &format!("housekeeping.{task}.cron"), &rule)?;
            }
        }
        Ok(())
    }
}

fn milliseconds(count: u64) -> TimeDelta {
    TimeDelta::milliseconds(i64::try_from(count).unwrap_or(i64::MAX / 1000))
}

/// When and where closed months are archived.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSettings {
    /// The number of full months that must have passed since the end of a month before it is archived.
    pub after_months: u32,
    /// The tablespace of the archive. If empty, the partitions stay in their tablespace.
    pub tablespace: String,
}

impl ArchiveSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require((1..=1200).contains(&self.after_months), "archive.after_months", "must be from 1 to 1200")?;
        let name_fits = self.tablespace.len() < 64 && !self.tablespace.chars().any(char::is_control);
        require(
            name_fits,
            "archive.tablespace",
            "must be the name of a tablespace: at most 63 bytes, without control characters",
        )
    }

    /// The configured tablespace, if any.
    pub fn tablespace(&self) -> Option<&str> {
        Some(self.tablespace.as_str()).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn expression(text: &str) -> CronExpression {
        CronExpression::from(text.to_owned())
    }

    #[test]
    fn the_last_due_time_is_today_once_it_has_passed_and_yesterday_before() {
        let three = expression("0 3 * * *");
        for (now, last, next) in [
            ("2026-03-01T03:00:00Z", "2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z"),
            ("2026-03-01T03:00:00.250Z", "2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z"),
            ("2026-03-01T23:59:59Z", "2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z"),
            ("2026-03-01T02:59:59.999Z", "2026-02-28T03:00:00Z", "2026-03-01T03:00:00Z"),
        ] {
            assert_eq!(three.last_due(at(now), Tz::UTC), Some(at(last)), "{now}");
            assert_eq!(three.next_due(at(now), Tz::UTC), Some(at(next)), "{now}");
        }
    }

    #[test]
    fn due_times_follow_the_time_zone_across_daylight_saving_changes() {
        let three = expression("30 2 * * *");
        // 02:30 does not exist in Madrid on 2026-03-29: the run is due at 03:00.
        let next = three.next_due(at("2026-03-28T12:00:00Z"), Tz::Europe__Madrid).unwrap();
        assert_eq!(next, at("2026-03-29T01:00:00Z"));
        assert_eq!(
            three.next_due(at("2026-07-01T12:00:00Z"), Tz::Europe__Madrid),
            Some(at("2026-07-02T00:30:00Z"))
        );
    }

    #[test]
    fn an_empty_expression_and_off_are_never_due() {
        for text in ["", "  ", "off"] {
            assert_eq!(expression(text).next_due(at("2026-03-01T00:00:00Z"), Tz::UTC), None, "{text:?}");
            assert!(expression(text).parsed.is_ok());
        }
    }

    #[test]
    fn invalid_cron_expressions_are_rejected() {
        for text in ["often", "0 3 * *", "0 0 3 * * *", "61 3 * * *", "0 0 30 2 *", "0 3 * * * 2030"] {
            assert!(expression(text).parsed.is_err(), "{text}");
        }
    }
}
