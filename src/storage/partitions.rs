//! Monthly partitions: made ahead of time, and on demand, so that an insert never fails for want of one.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Date, Integer};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::error::Result;

diesel::define_sql_function! {
    /// Makes missing partitions from a month on; returns how many it made.
    fn ensure_month_partitions(first_month: Date, months: Integer) -> Integer;
}

/// Makes the partitions of `month` and the `ahead` months after it, where they are missing; returns how many were made.
///
/// # Errors
/// When the database fails.
pub async fn ensure(connection: &mut AsyncPgConnection, month: DateTime<Utc>, ahead: u32) -> Result<i32> {
    let first: NaiveDate = month.date_naive();
    let months = i32::try_from(ahead).unwrap_or(i32::MAX).saturating_add(1);
    Ok(diesel::select(ensure_month_partitions(first, months)).get_result(connection).await?)
}
