//! Refused events that are kept for operators.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::SharedText;
use crate::error::{Error, Result};
use crate::storage::schema::ingest_dead_letters;
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};

/// The largest event that is kept, in bytes.
pub const MAX_EVENT_BYTES: usize = 16 * 1024;

/// A refused event.
#[derive(Debug, Clone)]
pub struct NewIngestDeadLetter {
    /// The name of the account that sent it.
    pub account: String,
    pub code: &'static str,
    pub detail: String,
    /// The event as it was sent, at most [`MAX_EVENT_BYTES`].
    pub event: SharedText,
    pub received_at: DateTime<Utc>,
}

/// A kept event, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = ingest_dead_letters, check_for_backend(diesel::pg::Pg))]
pub struct IngestDeadLetter {
    pub id: Uuid,
    pub account: String,
    pub code: String,
    pub detail: String,
    pub received_at: DateTime<Utc>,
}

/// Selects dead letters. A field that is `None` matches all of them.
#[derive(Debug, Clone, Default)]
pub struct IngestDeadLetterFilter {
    pub account: Option<String>,
    pub code: Option<String>,
    /// Received at or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Received before this time.
    pub until: Option<DateTime<Utc>>,
}

impl IngestDeadLetterFilter {
    fn query(&self) -> ingest_dead_letters::BoxedQuery<'_, Pg> {
        let mut query = ingest_dead_letters::table.into_boxed();
        if let Some(account) = &self.account {
            query = query.filter(ingest_dead_letters::account.eq(account));
        }
        if let Some(code) = &self.code {
            query = query.filter(ingest_dead_letters::code.eq(code));
        }
        if let Some(from) = self.from {
            query = query.filter(ingest_dead_letters::received_at.ge(from));
        }
        if let Some(until) = self.until {
            query = query.filter(ingest_dead_letters::received_at.lt(until));
        }
        query
    }
}

rows! {
    struct KeptRows of KeptRow {
        account: String as Text,
        code: &'static str as Text,
        detail: String as Text,
        event: SharedText as Text,
        received_at: DateTime<Utc> as Timestamptz,
    }
}

impl From<NewIngestDeadLetter> for KeptRow {
    fn from(letter: NewIngestDeadLetter) -> Self {
        let NewIngestDeadLetter { account, code, detail, event, received_at } = letter;
        Self { account, code, detail, event, received_at }
    }
}

struct KeepEvents(KeptRows);

impl FixedStatement for KeepEvents {
    const NAME: &'static str = "insert_ingest_dead_letters";
    const SQL: &'static str = "\
        INSERT INTO ingest_dead_letters (account, code, detail, event, received_at) \
        SELECT r.account, r.code, r.detail, r.event, r.received_at FROM ?";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("r", &self.0)
    }
}

/// Keeps refused events and returns how many.
///
/// # Errors
/// The database's error.
pub async fn insert(connection: &mut AsyncPgConnection, letters: Vec<NewIngestDeadLetter>) -> Result<usize> {
    let rows = letters.into_iter().map(KeptRow::from).collect();
    Ok(Prepared(KeepEvents(rows)).execute(connection).await?)
}

struct TrimKept {
    keep: i64,
}

impl FixedStatement for TrimKept {
    const NAME: &'static str = "trim_ingest_dead_letters";
    const SQL: &'static str = "\
        DELETE FROM ingest_dead_letters WHERE id <= \
            (SELECT id FROM ingest_dead_letters ORDER BY id DESC OFFSET ?::bigint LIMIT 1)";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<BigInt, _>(&self.keep)
    }
}

/// Deletes all but the newest `keep` dead letters and returns how many it deleted.
///
/// # Errors
/// The database's error.
pub async fn trim(connection: &mut AsyncPgConnection, keep: u32) -> Result<usize> {
    Ok(Prepared(TrimKept { keep: i64::from(keep) }).execute(connection).await?)
}

/// Deletes up to `limit` dead letters that were received before `time`, and returns how many it deleted.
///
/// # Errors
/// The database's error.
pub async fn delete_before(
    connection: &mut AsyncPgConnection,
    time: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    let expired = diesel::alias!(ingest_dead_letters as expired);
    let ids = expired
        .select(expired.field(ingest_dead_letters::id))
        .filter(expired.field(ingest_dead_letters::received_at).lt(time))
        .order(expired.field(ingest_dead_letters::received_at).asc())
        .limit(i64::from(limit));
    let deletion = diesel::delete(ingest_dead_letters::table.filter(ingest_dead_letters::id.eq_any(ids)));
    Ok(deletion.execute(connection).await?)
}

/// One page of the dead letters, newest first, starting after the dead letter `after`.
///
/// # Errors
/// The database's error.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &IngestDeadLetterFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<IngestDeadLetter>> {
    let mut query = filter.query();
    if let Some(after) = after {
        query = query.filter(ingest_dead_letters::id.lt(after));
    }
    let page = query.select(IngestDeadLetter::as_select()).order(ingest_dead_letters::id.desc()).limit(limit);
    Ok(page.load(connection).await?)
}

/// A dead letter with the event as it was sent.
///
/// # Errors
/// [`Error::NotFound`], or the database's error.
pub async fn get(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(IngestDeadLetter, String)> {
    let found: Option<(IngestDeadLetter, String)> = ingest_dead_letters::table
        .select((IngestDeadLetter::as_select(), ingest_dead_letters::event))
        .filter(ingest_dead_letters::id.eq(id))
        .first(connection)
        .await
        .optional()?;
    found.ok_or(Error::NotFound("dead letter"))
}

/// Deletes a dead letter and returns whether it existed.
///
/// # Errors
/// The database's error.
pub async fn delete(connection: &mut AsyncPgConnection, id: Uuid) -> Result<bool> {
    let deletion = diesel::delete(ingest_dead_letters::table.filter(ingest_dead_letters::id.eq(id)));
    Ok(deletion.execute(connection).await? > 0)
}
