//! The archive: months whose applications are all closed, out of the way of everything that lists, and still found by
//! their identifiers.
//!
//! A month is three tables (applications, audit_logs, decisions), which hang either on the living tables or on those of the
//! archive. Moving it is a change of parents in one short transaction; no row is copied. That takes a lock of the whole
//! table for an instant, and everybody would wait behind a lock that is waited for: so the database gives up after a
//! tenth of a second, and [`archive`] tries again. What takes long, checking that each row is within its month, happens
//! before, and nobody waits for it.
//!
//! A query that looks for one identifier asks the living tables first, and only when it finds nothing both, in one
//! statement, so that it cannot fall between them while a month moves.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Date, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use super::partitions::Month;
use super::seal::KeyRing;
use crate::error::{Error, PublicMessage, Result};

/// Tries of a move, each of which gives up after a tenth of a second.
const MAX_TRIES: u32 = 20;
/// The pause between two tries: nobody is held up for more than a tenth of the time.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a month is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Among the living.
    Hot,
    /// In the archive.
    Archived,
}

impl Tier {
    /// The name that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Archived => "archived",
        }
    }
}

/// A month that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedMonth {
    /// Which.
    pub month: Month,
    /// Where it is.
    pub tier: Tier,
    /// How much room its three tables take, with their indexes.
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

/// Every month that is there, oldest first.
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

/// Where a month is; `None` when it is nowhere.
pub async fn tier(connection: &mut AsyncPgConnection, month: Month) -> Result<Option<Tier>> {
    let known = months(connection).await?;
    Ok(known.into_iter().find(|listed| listed.month == month).map(|listed| listed.tier))
}

diesel::define_sql_function! {
    /// How many applications of a month are still in work.
    fn month_open_applications(month: Date) -> BigInt;
}

/// How many applications of a living month are still in work: neither decided nor deleted, with a job, or with a webhook
/// that is to be tried again.
pub async fn open_applications(connection: &mut AsyncPgConnection, month: Month) -> Result<i64> {
    Ok(diesel::select(month_open_applications(month.first_day())).get_result(connection).await?)
}

/// Moves a month to the archive. The connection's statement timeout must leave room for reading the whole month once.
///
/// # Errors
/// [`Error::NotFound`] when there is no such month, [`Error::Conflict`] when it is archived, too young, or has applications
/// in work; a passing error when its lock could not be had; or when the database fails.
pub async fn archive(connection: &mut AsyncPgConnection, month: Month, now: DateTime<Utc>) -> Result<()> {
    match tier(connection, month).await? {
        None => return Err(Error::NotFound("month")),
        Some(Tier::Archived) => return Err(conflict(format!("{month} is archived already"))),
        Some(Tier::Hot) => {}
    }
    check_age(month, now)?;
    let open = open_applications(connection, month).await?;
    if open > 0 {
        return Err(conflict(format!("{month} has {open} applications that are not closed")));
    }
    patiently(connection, "SELECT bound_month($1)", month).await?;
    patiently(connection, "SELECT validate_month($1)", month).await?;
    patiently(connection, "SELECT archive_month($1)", month).await
}

/// Moves an archived month back, whole.
///
/// # Errors
/// [`Error::NotFound`] when there is no such month, [`Error::Conflict`] when it is not archived; a passing error when its
/// lock could not be had; or when the database fails.
pub async fn restore(connection: &mut AsyncPgConnection, month: Month) -> Result<()> {
    match tier(connection, month).await? {
        None => Err(Error::NotFound("month")),
        Some(Tier::Hot) => Err(conflict(format!("{month} is not archived"))),
        Some(Tier::Archived) => patiently(connection, "SELECT unarchive_month($1)", month).await,
    }
}

/// Copies an archived month to a tablespace, where it is not there already; whether it was elsewhere.
///
/// # Errors
/// When there is no such tablespace, its lock could not be had, or the database fails.
pub async fn place(connection: &mut AsyncPgConnection, month: Month, tablespace: &str) -> Result<bool> {
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

/// The database refuses younger months by itself; this says so in words.
fn check_age(month: Month, now: DateTime<Utc>) -> Result<()> {
    if month.next().next().start() > now {
        return Err(conflict(format!("{month} has not been over for a month")));
    }
    Ok(())
}

fn conflict(text: String) -> Error {
    Error::Conflict(PublicMessage::new(text))
}

/// Runs a statement about a month, again when its lock could not be had in time.
async fn patiently(connection: &mut AsyncPgConnection, statement: &str, month: Month) -> Result<()> {
    let mut tries = 1;
    loop {
        let day: NaiveDate = month.first_day();
        match diesel::sql_query(statement).bind::<Date, _>(day).execute(connection).await.map_err(Error::from)
        {
            Err(Error::Database { transient: true, .. }) if tries < MAX_TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            other => return other.map(drop),
        }
    }
}

#[derive(QueryableByName)]
struct SealedElsewhere {
    #[diesel(sql_type = Text)]
    month: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// The archived months with envelopes that the active key did not seal, and how many rows in each. `aval reencrypt` cannot
/// reach them: the keys that sealed them must be kept.
pub async fn sealed_by_other_keys(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
) -> Result<Vec<(String, u64)>> {
    let found: Vec<SealedElsewhere> = diesel::sql_query(
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

/// The tables of a month, as they stand in an export: name, key of the rows' order, columns that tell the application.
pub const TABLES: [(&str, &str, &str); 3] = [
    ("applications", "id", "id"),
    ("audit_logs", "application_id, version", "application_id"),
    ("decisions", "application_id, id", "application_id"),
];

/// A row as a line of JSON.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Gives every row of a month's table to `take`, in the order of its key, as one line of JSON each: PostgreSQL's own text
/// of each column, with personal data sealed as it is. Must be called in a transaction that sees one state
/// ([`begin_reading`]).
///
/// # Errors
/// What `take` returns, or when the database fails.
pub async fn read_lines(
    connection: &mut AsyncPgConnection,
    (table, order, application): (&str, &str, &str),
    tier: Tier,
    month: Month,
    mut take: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    use futures_util::TryStreamExt as _;

    let tree = match tier {
        Tier::Hot => table.to_owned(),
        Tier::Archived => format!("{table}_archive"),
    };
    let query = format!(
        "SELECT row_to_json(r)::text AS line FROM {tree} r WHERE {application} >= uuid_v7_floor($1) \
         AND {application} < uuid_v7_floor($2) ORDER BY {order}"
    );
    let mut lines = diesel::sql_query(query)
        .bind::<diesel::sql_types::Timestamptz, _>(month.start())
        .bind::<diesel::sql_types::Timestamptz, _>(month.next().start())
        .load_stream::<Line>(connection)
        .await?;
    while let Some(row) = lines.try_next().await? {
        take(&row.line)?;
    }
    Ok(())
}

/// Begins a transaction in which every statement sees the same state, and none takes too long.
pub async fn begin_reading(connection: &mut AsyncPgConnection) -> Result<()> {
    let begin = "SET statement_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    Ok(connection.batch_execute(begin).await?)
}

/// Ends it.
pub async fn end_reading(connection: &mut AsyncPgConnection) -> Result<()> {
    Ok(connection.batch_execute("COMMIT").await?)
}

/// The newest migration that has run: what the columns of an export are of.
pub async fn schema_version(connection: &mut AsyncPgConnection) -> Result<String> {
    let query = "SELECT max(version)::text AS line FROM __diesel_schema_migrations";
    Ok(diesel::sql_query(query).get_result::<Line>(connection).await?.line)
}
