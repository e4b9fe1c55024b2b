//! The archive: months whose applications are all closed. Lists exclude them; lookups by identifier still find them.
//!
//! A month consists of three tables (applications, audit_logs, decisions), which are partitions of either the live or
//! the archive tables. A move detaches and attaches them in one short transaction and copies no rows. It needs a brief
//! lock on the whole parent table, and while it waits for that lock, every later statement on the table waits too.
//! Therefore the lock attempt times out after a tenth of a second, and [`archive`] retries. The slow part runs beforehand
//! without blocking: validating that each row belongs to its month.
//!
//! A lookup by identifier queries the live tables first. If it finds nothing, it queries both in one statement, so a
//! month that moves at that moment is not missed.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Date, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use super::partitions::Month;
use super::seal::KeyRing;
use crate::error::{Error, PublicMessage, Result};

/// The maximum number of attempts of a move, each with a lock timeout of a tenth of a second.
const MAX_ATTEMPTS: u32 = 20;
/// The pause between attempts. It ensures that other statements are blocked for at most a tenth of the time.
const PAUSE: Duration = Duration::from_secs(1);

/// The tables that hold a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In the live tables.
    Hot,
    Archived,
}

impl Tier {
    /// The name in output and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Archived => "archived",
        }
    }
}

/// An existing month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedMonth {
    pub month: Month,
    pub tier: Tier,
    /// The total size of the month's three tables with their indexes.
    pub bytes: i64,
}

#[derive(QueryableByName)]
struct MonthRow {
    #[diesel(sql_type = Text)]
    month: String,
    #[diesel(sql_type = Bool)]
    archived: bool,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// All months, oldest first.
pub async fn months(connection: &mut AsyncPgConnection) -> Result<Vec<ListedMonth>> {
    let rows: Vec<MonthRow> = diesel::sql_query(
        "SELECT replace(substring(c.relname FROM '\\d{4}_\\d{2}$'), '_', '-') AS month, \
             i.inhparent = 'applications_archive'::regclass AS archived, \
             (SELECT sum(pg_total_relation_size(p.oid))::bigint FROM pg_class p \
              WHERE p.relnamespace = c.relnamespace AND p.relname IN (c.relname, \
                  replace(c.relname, 'applications', 'audit_logs'), replace(c.relname, 'applications', 'decisions'))) \
             AS bytes \
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent IN ('applications'::regclass, 'applications_archive'::regclass) \
             AND c.relname ~ '^applications_\\d{4}_\\d{2}$' \
         ORDER BY 1",
    )
    .load(connection)
    .await?;
    let listed = |row: MonthRow| {
        let tier = if row.archived { Tier::Archived } else { Tier::Hot };
        Some(ListedMonth { month: Month::parse(&row.month)?, tier, bytes: row.bytes })
    };
    Ok(rows.into_iter().filter_map(listed).collect())
}

/// Where a month is stored, or `None` if it does not exist.
pub async fn tier(connection: &mut AsyncPgConnection, month: Month) -> Result<Option<Tier>> {
    let known = months(connection).await?;
    Ok(known.into_iter().find(|listed| listed.month == month).map(|listed| listed.tier))
}

diesel::define_sql_function! {
    /// The number of applications of a month that are still open.
    fn month_open_applications(month: Date) -> BigInt;
}

/// The number of open applications of a live month. An application is open if it is undecided and not deleted, has a job,
/// or has a webhook event that will be retried.
pub async fn open_applications(connection: &mut AsyncPgConnection, month: Month) -> Result<i64> {
    Ok(diesel::select(month_open_applications(month.first_day())).get_result(connection).await?)
}

/// Moves a month to the archive. The connection's statement timeout must allow reading the whole month once.
///
/// # Errors
/// [`Error::NotFound`] if the month does not exist; [`Error::Conflict`] if it is archived, too recent, or has open
/// applications; a transient error if the lock could not be acquired.
pub async fn archive(connection: &mut AsyncPgConnection, month: Month, now: DateTime<Utc>) -> Result<()> {
    match tier(connection, month).await? {
        None => return Err(Error::NotFound("month")),
        Some(Tier::Archived) => return Err(conflict(format!("{month} is already archived"))),
        Some(Tier::Hot) => {}
    }
    check_age(month, now)?;
    let open = open_applications(connection, month).await?;
    if open > 0 {
        return Err(conflict(format!("{month} has {open} applications that are not closed")));
    }
    retry_on_lock_timeout(connection, "SELECT bound_month($1)", month).await?;
    retry_on_lock_timeout(connection, "SELECT validate_month($1)", month).await?;
    retry_on_lock_timeout(connection, "SELECT archive_month($1)", month).await
}

/// Moves an archived month back to the live tables.
///
/// # Errors
/// [`Error::NotFound`] if the month does not exist; [`Error::Conflict`] if it is not archived; a transient error if the
/// lock could not be acquired.
pub async fn restore(connection: &mut AsyncPgConnection, month: Month) -> Result<()> {
    match tier(connection, month).await? {
        None => Err(Error::NotFound("month")),
        Some(Tier::Hot) => Err(conflict(format!("{month} is not archived"))),
        Some(Tier::Archived) => retry_on_lock_timeout(connection, "SELECT unarchive_month($1)", month).await,
    }
}

/// Moves an archived month to a tablespace. Returns false if it was already there.
///
/// # Errors
/// If the tablespace does not exist or the lock could not be acquired.
pub async fn move_to_tablespace(
    connection: &mut AsyncPgConnection,
    month: Month,
    tablespace: &str,
) -> Result<bool> {
    Ok(diesel::sql_query("SELECT place_archived_month($1, $2::name) AS moved")
        .bind::<Date, _>(month.first_day())
        .bind::<Text, _>(tablespace)
        .get_result::<Moved>(connection)
        .await?
        .moved)
}

#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = Bool)]
    moved: bool,
}

/// The database also refuses recent months. This check only gives a clearer error.
fn check_age(month: Month, now: DateTime<Utc>) -> Result<()> {
    if month.next().next().start() > now {
        return Err(conflict(format!("{month} has not been over for a month")));
    }
    Ok(())
}

fn conflict(text: String) -> Error {
    Error::Conflict(PublicMessage::new(text))
}

/// Runs a statement for a month and retries it after a lock timeout.
async fn retry_on_lock_timeout(
    connection: &mut AsyncPgConnection,
    statement: &str,
    month: Month,
) -> Result<()> {
    let mut tries = 1;
    loop {
        let day: NaiveDate = month.first_day();
        match diesel::sql_query(statement).bind::<Date, _>(day).execute(connection).await.map_err(Error::from)
        {
            Err(Error::Database { transient: true, .. }) if tries < MAX_ATTEMPTS => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            other => return other.map(drop),
        }
    }
}

#[derive(QueryableByName)]
struct SealedByOtherKeys {
    #[diesel(sql_type = Text)]
    month: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// The archived months that contain values not sealed with the active key, and the number of such applications in each.
/// `aval reencrypt` does not process the archive, so the keys of these values must be kept.
pub async fn sealed_by_other_keys(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
) -> Result<Vec<(String, u64)>> {
    let found: Vec<SealedByOtherKeys> = diesel::sql_query(
        "SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*) AS rows \
         FROM applications_archive \
         WHERE substring(full_name FOR 5) <> $1 OR substring(identity_document FOR 5) <> $1 \
             OR substring(birth_date FOR 5) <> $1 OR substring(personal_data FOR 5) <> $1 \
             OR EXISTS (SELECT FROM audit_logs_archive l, jsonb_each(l.metadata -> 'sealed') f, \
                 jsonb_each_text(f.value) e WHERE l.application_id = applications_archive.id \
                 AND left(e.value, 10) <> encode($1, 'hex')) \
         GROUP BY 1 ORDER BY 1",
    )
    .bind::<Binary, _>(keys.active_prefix().to_vec())
    .load(connection)
    .await?;
    found.into_iter().map(|row| Ok((row.month, u64::try_from(row.rows).map_err(Error::internal)?))).collect()
}

/// The tables of a month in an export: name, sort key, and the column with the application's id.
pub const TABLES: [(&str, &str, &str); 3] = [
    ("applications", "id", "id"),
    ("audit_logs", "application_id, version", "application_id"),
    ("decisions", "application_id, id", "application_id"),
];

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Passes each row of a month's table to `on_line` as one line of JSON, in the order of its key. Columns have
/// PostgreSQL's own text format, and personal data stays sealed. Must be called in a transaction with a consistent
/// snapshot ([`begin_reading`]).
///
/// # Errors
/// The error that `on_line` returns.
pub async fn read_lines(
    connection: &mut AsyncPgConnection,
    (table, order, application): (&str, &str, &str),
    tier: Tier,
    month: Month,
    mut on_line: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    use futures_util::TryStreamExt as _;

    let source = match tier {
        Tier::Hot => table.to_owned(),
        Tier::Archived => format!("{table}_archive"),
    };
    let query = format!(
        "SELECT row_to_json(r)::text AS line FROM {source} r WHERE {application} >= uuid_v7_floor($1) \
         AND {application} < uuid_v7_floor($2) ORDER BY {order}"
    );
    let mut lines = diesel::sql_query(query)
        .bind::<diesel::sql_types::Timestamptz, _>(month.start())
        .bind::<diesel::sql_types::Timestamptz, _>(month.next().start())
        .load_stream::<Line>(connection)
        .await?;
    while let Some(row) = lines.try_next().await? {
        on_line(&row.line)?;
    }
    Ok(())
}

/// Begins a read-only transaction with one snapshot for all statements and without a statement timeout.
pub async fn begin_reading(connection: &mut AsyncPgConnection) -> Result<()> {
    let begin = "SET statement_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    Ok(connection.batch_execute(begin).await?)
}

/// Ends the transaction of [`begin_reading`].
pub async fn end_reading(connection: &mut AsyncPgConnection) -> Result<()> {
    Ok(connection.batch_execute("COMMIT").await?)
}

/// The newest applied migration, which defines the columns of an export.
pub async fn schema_version(connection: &mut AsyncPgConnection) -> Result<String> {
    let query = "SELECT max(version)::text AS line FROM __diesel_schema_migrations";
    Ok(diesel::sql_query(query).get_result::<Line>(connection).await?.line)
}
