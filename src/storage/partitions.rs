//! Monthly partitions. They are created ahead of time and on demand, so an insert never fails because one is missing.

use std::fmt;

use chrono::{DateTime, Datelike as _, Months, NaiveDate, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Date, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::error::Result;

/// A calendar month in UTC, the range of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(NaiveDate);

impl Month {
    pub fn of(moment: DateTime<Utc>) -> Self {
        let day = moment.date_naive();
        Self(day.with_day(1).unwrap_or(day))
    }

    /// Parses `YYYY-MM`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-')?;
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return None;
        }
        NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1).map(Self)
    }

    pub fn next(self) -> Self {
        Self(self.0.checked_add_months(Months::new(1)).unwrap_or(self.0))
    }

    pub fn earlier_by(self, count: u32) -> Self {
        Self(self.0.checked_sub_months(Months::new(count)).unwrap_or(self.0))
    }

    pub fn start(self) -> DateTime<Utc> {
        self.0.and_time(chrono::NaiveTime::MIN).and_utc()
    }

    /// The first day, which identifies the month in the database's functions.
    pub(super) fn first_day(self) -> NaiveDate {
        self.0
    }

    /// The suffix of the names of the month's partitions.
    pub(super) fn suffix(self) -> String {
        self.0.format("%Y_%m").to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m"))
    }
}

diesel::define_sql_function! {
    /// Creates the missing partitions of `months` months and returns how many it created.
    fn ensure_month_partitions(first_month: Date, months: Integer) -> Integer;
}

/// Creates the missing partitions of `month` and the `ahead` months after it and returns how many it created.
pub async fn ensure(connection: &mut AsyncPgConnection, month: DateTime<Utc>, ahead: u32) -> Result<i32> {
    let first: NaiveDate = month.date_naive();
    let months = i32::try_from(ahead).unwrap_or(i32::MAX).saturating_add(1);
    Ok(diesel::select(ensure_month_partitions(first, months)).get_result(connection).await?)
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The number of months after the month of `now` for which every table has a partition, without a gap.
pub async fn months_ahead(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<u32> {
    let names: Vec<Name> = diesel::sql_query(
        "SELECT substring(c.relname FROM '\\d{4}_\\d{2}$') AS name \
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent IN ('applications'::regclass, 'audit_logs'::regclass, 'decisions'::regclass, \
             'job_history'::regclass) AND c.relname ~ '_\\d{4}_\\d{2}$' \
         GROUP BY 1 HAVING count(*) = 4",
    )
    .load(connection)
    .await?;
    let exists = |month: Month| names.iter().any(|row| row.name == month.suffix());
    let mut month = Month::of(now).next();
    let mut ahead = 0;
    while exists(month) {
        ahead += 1;
        month = month.next();
    }
    Ok(ahead)
}

diesel::define_sql_function! {
    /// Drops the finished jobs of a past month. Returns whether there were any.
    fn drop_job_history_month(month: Date) -> Bool;
}

/// The months of finished jobs that ended before `before`, oldest first.
pub async fn job_history_before(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
) -> Result<Vec<Month>> {
    let names: Vec<Name> = diesel::sql_query(
        "SELECT substring(c.relname FROM '\\d{4}_\\d{2}$') AS name \
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'job_history'::regclass AND c.relname ~ '^job_history_\\d{4}_\\d{2}$' ORDER BY 1",
    )
    .load(connection)
    .await?;
    let months = names.iter().filter_map(|row| Month::parse(&row.name.replace('_', "-")));
    Ok(months.filter(|month| month.next().start() <= before).collect())
}

/// Drops a month of finished jobs.
///
/// # Errors
/// If the month is too recent. If its partition is in use, the error is transient; the function does not wait for it.
pub async fn drop_job_history(connection: &mut AsyncPgConnection, month: Month) -> Result<bool> {
    Ok(diesel::select(drop_job_history_month(month.first_day())).get_result(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_parsed_and_formatted_as_year_and_month() {
        let month = Month::parse("2025-12").unwrap();
        assert_eq!((month.to_string(), month.suffix()), ("2025-12".to_owned(), "2025_12".to_owned()));
        assert_eq!(month.next().to_string(), "2026-01");
        assert_eq!(month.start().to_rfc3339(), "2025-12-01T00:00:00+00:00");
        assert_eq!(Month::of("2025-12-31T23:59:59.999Z".parse().unwrap()), month);
        assert_eq!(month.earlier_by(13).to_string(), "2024-11");
        for bad in ["2025-13", "2025-1", "2025", "25-12", "2025-12-01", "+025-12", "2025-0x", ""] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
    }
}
