//! The partitions of `ingested_events`: one for each day, in UTC.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use diesel::sql_types::{Date, Integer, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::error::{Error, Result};
use crate::storage::Database;

/// How often a day is tried to be dropped. Each try waits 100 ms for its lock.
const DROP_ATTEMPTS: u32 = 20;
/// The pause between two tries, in which waiting inserts proceed.
const DROP_PAUSE: Duration = Duration::from_millis(100);

diesel::define_sql_function! {
    /// Creates the missing partitions of a number of days and returns for how many days it did.
    fn ensure_ingest_days(first_day: Date, days: Integer) -> Integer;
}

/// Creates the missing partitions of `count` days from `first` on and returns for how many days it did.
///
/// # Errors
/// The database's error.
pub async fn ensure(connection: &mut AsyncPgConnection, first: NaiveDate, count: u32) -> QueryResult<i32> {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    diesel::select(ensure_ingest_days(first, count)).get_result(connection).await
}

/// Creates the missing partitions from `back` days before the day of `now` to `ahead` days after it and returns for how
/// many days it did.
///
/// # Errors
/// The database's error.
pub async fn ensure_around(
    connection: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    back: u32,
    ahead: u32,
) -> Result<i32> {
    let first = now.date_naive() - Days::new(back.into());
    Ok(ensure(connection, first, back.saturating_add(ahead).saturating_add(1)).await?)
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The days that have a partition, oldest first.
///
/// # Errors
/// The database's error.
pub async fn existing(connection: &mut AsyncPgConnection) -> Result<Vec<NaiveDate>> {
    let names: Vec<Name> = diesel::sql_query(
        "SELECT substring(c.relname FROM '\\d{4}_\\d{2}_\\d{2}$') AS name \
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'ingested_events'::regclass AND c.relname ~ '^ingested_events_\\d{4}_\\d{2}_\\d{2}$' \
         ORDER BY 1",
    )
    .load(connection)
    .await?;
    Ok(names.iter().filter_map(|row| NaiveDate::parse_from_str(&row.name, "%Y_%m_%d").ok()).collect())
}

/// The number of days after the day of `now` that have a partition, without a gap.
///
/// # Errors
/// The database's error.
pub async fn days_ahead(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<u32> {
    let existing = existing(connection).await?;
    let ahead = now.date_naive().iter_days().skip(1).take_while(|day| existing.contains(day)).count();
    Ok(u32::try_from(ahead).unwrap_or(u32::MAX))
}

/// The days whose events all happened before `before`, oldest first.
///
/// # Errors
/// The database's error.
pub async fn ended_before(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
) -> Result<Vec<NaiveDate>> {
    let ended = |day: &NaiveDate| (*day + Days::new(1)).and_time(NaiveTime::MIN).and_utc() <= before;
    Ok(existing(connection).await?.into_iter().filter(ended).collect())
}

diesel::define_sql_function! {
    /// Drops the events of a day. Returns whether it had a partition.
    fn drop_ingest_day(day: Date) -> Bool;
}

/// Drops the events of a day and returns whether it had a partition. Inserts and reads never wait longer than 100 ms for it.
///
/// # Errors
/// A transient error if every try found the table in use for too long, or the database's error.
pub async fn drop_day(database: &Database, day: NaiveDate) -> Result<bool> {
    for _ in 1..DROP_ATTEMPTS {
        match try_drop(&mut *database.get().await?, day).await {
            Err(Error::Database { transient: true, .. }) => tokio::time::sleep(DROP_PAUSE).await,
            other => return other,
        }
    }
    try_drop(&mut *database.get().await?, day).await
}

async fn try_drop(connection: &mut AsyncPgConnection, day: NaiveDate) -> Result<bool> {
    Ok(diesel::select(drop_ingest_day(day)).get_result(connection).await?)
}
