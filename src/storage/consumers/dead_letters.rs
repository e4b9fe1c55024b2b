//! Dead letters of consumers, and the actions of operators on them and on positions.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::deferred::{self, DeferredEvent, DeferredRow};
use crate::error::{Error, Result};
use crate::storage::json::StoredJson;
use crate::storage::outbox::StoredEvent;
use crate::storage::schema::{consumer_partitions, deferred_events, inbox};
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// An event that a consumer failed to handle permanently.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = deferred_events, check_for_backend(diesel::pg::Pg))]
pub struct EventDeadLetter {
    pub id: Uuid,
    pub consumer: String,
    pub event_id: Uuid,
    #[diesel(column_name = type_)]
    pub event_type: String,
    pub subject: Uuid,
    #[diesel(column_name = event_offset)]
    pub offset: i64,
    /// When the event was written.
    pub time: DateTime<Utc>,
    pub request_id: Option<String>,
    pub attempts: i32,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    /// Whether later events of the subject wait behind it.
    pub blocks_subject: bool,
    /// Always set for dead letters.
    pub dead_since: Option<DateTime<Utc>>,
}

/// Selects dead letters. A field that is `None` matches all of them.
#[derive(Debug, Clone, Default)]
pub struct EventDeadLetterFilter {
    pub id: Option<Uuid>,
    pub consumer: Option<String>,
    pub event_type: Option<String>,
    pub subject: Option<Uuid>,
    pub error_type: Option<String>,
    /// Dead at or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Dead before this time.
    pub until: Option<DateTime<Utc>>,
}

impl EventDeadLetterFilter {
    fn query(&self) -> deferred_events::BoxedQuery<'_, Pg> {
        let mut query = deferred_events::table.filter(deferred_events::dead_since.is_not_null()).into_boxed();
        if let Some(id) = self.id {
            query = query.filter(deferred_events::id.eq(id));
        }
        if let Some(consumer) = &self.consumer {
            query = query.filter(deferred_events::consumer.eq(consumer));
        }
        if let Some(event_type) = &self.event_type {
            query = query.filter(deferred_events::type_.eq(event_type));
        }
        if let Some(subject) = self.subject {
            query = query.filter(deferred_events::subject.eq(subject));
        }
        if let Some(error_type) = &self.error_type {
            query = query.filter(deferred_events::error_type.eq(error_type));
        }
        if let Some(from) = self.from {
            query = query.filter(deferred_events::dead_since.ge(from));
        }
        if let Some(until) = self.until {
            query = query.filter(deferred_events::dead_since.lt(until));
        }
        query
    }
}

/// One page of the dead letters, newest first, starting after the dead letter `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &EventDeadLetterFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<EventDeadLetter>> {
    let mut query = filter.query();
    if let Some(after) = after {
        query = query.filter(deferred_events::id.lt(after));
    }
    let page = query.select(EventDeadLetter::as_select()).order(deferred_events::id.desc()).limit(limit);
    Ok(page.load(connection).await?)
}

/// The oldest dead letters that a filter selects.
pub async fn oldest(
    connection: &mut AsyncPgConnection,
    filter: &EventDeadLetterFilter,
    limit: i64,
) -> Result<Vec<EventDeadLetter>> {
    let query = filter.query().select(EventDeadLetter::as_select());
    Ok(query.order(deferred_events::id.asc()).limit(limit).load(connection).await?)
}

/// A dead letter with the data of its event.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn get(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(EventDeadLetter, Value)> {
    let found: Option<(EventDeadLetter, StoredJson)> = deferred_events::table
        .select((EventDeadLetter::as_select(), deferred_events::data))
        .filter(deferred_events::id.eq(id))
        .filter(deferred_events::dead_since.is_not_null())
        .first(connection)
        .await
        .optional()?;
    let (letter, data) = found.ok_or(Error::NotFound("dead letter"))?;
    Ok((letter, data.0))
}

/// A dead letter that has not been copied to the stream of dead letters.
#[derive(Debug)]
pub struct UncopiedDeadLetter {
    pub id: Uuid,
    pub consumer: String,
    pub event: StoredEvent,
    pub attempts: i32,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
}

/// The oldest dead letters that have not been copied, at most `limit`.
pub async fn uncopied(connection: &mut AsyncPgConnection, limit: u32) -> Result<Vec<UncopiedDeadLetter>> {
    let rows: Vec<(DeferredRow, String, Option<String>, Option<String>)> = deferred_events::table
        .select((
            DeferredRow::as_select(),
            deferred_events::consumer,
            deferred_events::error_type,
            deferred_events::error_message,
        ))
        .filter(deferred_events::dead_since.is_not_null())
        .filter(deferred_events::copied_at.is_null())
        .order(deferred_events::id.asc())
        .limit(i64::from(limit))
        .load(connection)
        .await?;
    let letter = |(row, consumer, error_type, error_message): (DeferredRow, String, _, _)| {
        let DeferredEvent { id, event, attempts, .. } = row.into();
        UncopiedDeadLetter { id, consumer, event, attempts, error_type, error_message }
    };
    Ok(rows.into_iter().map(letter).collect())
}

/// Records that dead letters have been copied.
pub async fn mark_copied(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<()> {
    let copied = deferred_events::table.filter(deferred_events::id.eq_any(ids));
    diesel::update(copied).set(deferred_events::copied_at.eq(diesel::dsl::now)).execute(connection).await?;
    Ok(())
}

/// Locks all partitions of a consumer, so no instance handles its events until the end of the transaction.
///
/// # Errors
/// [`Error::NotFound`] if there is no such consumer.
pub async fn lock_consumer(connection: &mut AsyncPgConnection, consumer: &str) -> Result<()> {
    let locked: Vec<i16> = consumer_partitions::table
        .select(consumer_partitions::partition)
        .filter(consumer_partitions::consumer.eq(consumer))
        .order(consumer_partitions::partition.asc())
        .for_update()
        .load(connection)
        .await?;
    if locked.is_empty() { Err(Error::NotFound("consumer")) } else { Ok(()) }
}

struct ReplayDeadLetters {
    ids: Vec<Uuid>,
}

impl FixedStatement for ReplayDeadLetters {
    const NAME: &'static str = "replay_dead_letters";
    const SQL: &'static str = "\
        UPDATE deferred_events SET dead_since = NULL, blocks_subject = true, attempts = 0, copied_at = NULL \
        WHERE id = ANY (?::uuid[]) AND dead_since IS NOT NULL RETURNING subject";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<sql_types::Uuid>, _>(&self.ids)
    }
}

#[derive(QueryableByName)]
struct SubjectRow {
    #[diesel(sql_type = sql_types::Uuid)]
    subject: Uuid,
}

/// Gives dead letters of a locked consumer new attempts. The first deferred event of each subject becomes due. Returns
/// how many it changed.
pub async fn replay(connection: &mut AsyncPgConnection, consumer: &str, ids: &[Uuid]) -> Result<usize> {
    let rows: Vec<SubjectRow> = Prepared(ReplayDeadLetters { ids: ids.to_vec() }).load(connection).await?;
    let count = rows.len();
    let subjects = distinct(rows);
    // In a consumer that continues, a later event may be the head now.
    deferred::unschedule(connection, consumer, subjects.clone()).await?;
    deferred::schedule_heads(connection, consumer, subjects).await?;
    wake_readers(connection).await?;
    Ok(count)
}

struct SkipDeadLetters {
    ids: Vec<Uuid>,
}

impl FixedStatement for SkipDeadLetters {
    const NAME: &'static str = "skip_dead_letters";
    const SQL: &'static str = "\
        WITH skipped AS (DELETE FROM deferred_events WHERE id = ANY (?::uuid[]) AND dead_since IS NOT NULL \
            RETURNING id, consumer, event_id, event_offset, subject, type, error_type, attempts), \
        recorded AS (INSERT INTO inbox (consumer, event_id, event_offset) \
            SELECT consumer, event_id, event_offset FROM skipped ON CONFLICT DO NOTHING) \
        SELECT subject, record_dead_letter_event('skipped', id, 'event', consumer, type, error_type, attempts, \
            origin_request()) AS told FROM skipped";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<sql_types::Uuid>, _>(&self.ids)
    }
}

/// Removes dead letters of a locked consumer as if they had been handled. The events behind them become due. Returns how
/// many it removed.
pub async fn skip(connection: &mut AsyncPgConnection, consumer: &str, ids: &[Uuid]) -> Result<usize> {
    let rows: Vec<SubjectRow> = Prepared(SkipDeadLetters { ids: ids.to_vec() }).load(connection).await?;
    let count = rows.len();
    deferred::schedule_heads(connection, consumer, distinct(rows)).await?;
    wake_readers(connection).await?;
    Ok(count)
}

fn distinct(rows: Vec<SubjectRow>) -> Vec<Uuid> {
    let mut subjects: Vec<Uuid> = rows.into_iter().map(|row| row.subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

struct ForgetDeferredEvents {
    consumer: String,
    position: i64,
}

impl FixedStatement for ForgetDeferredEvents {
    const NAME: &'static str = "forget_deferred_events";
    const SQL: &'static str = "\
        WITH forgotten AS (DELETE FROM deferred_events WHERE consumer = ? AND event_offset > ? \
            RETURNING id, consumer, type, error_type, attempts, dead_since) \
        SELECT record_dead_letter_event('replayed', id, 'event', consumer, type, error_type, attempts, origin_request()) \
        FROM forgotten WHERE dead_since IS NOT NULL";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<BigInt, _>(&self.position)
    }
}

struct RewindConsumer {
    consumer: String,
    position: i64,
}

impl FixedStatement for RewindConsumer {
    const NAME: &'static str = "rewind_consumer";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer, ?::bigint AS position) \
        UPDATE consumer_partitions c SET position = least(c.position, i.position), owner = NULL, leased_until = NULL, \
            fence = c.fence + 1 \
        FROM input i WHERE c.consumer = i.consumer";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<BigInt, _>(&self.position)
    }
}

/// Makes a locked consumer read all events after the offset `position` again. Every lease ends, and what is stored about
/// these events is deleted, including dead letters. Returns how many events had been handled.
pub async fn rewind(connection: &mut AsyncPgConnection, consumer: &str, position: i64) -> Result<usize> {
    let handled = inbox::table.filter(inbox::consumer.eq(consumer)).filter(inbox::event_offset.gt(position));
    let handled = diesel::delete(handled).execute(connection).await?;
    let consumer = consumer.to_owned();
    Prepared(ForgetDeferredEvents { consumer: consumer.clone(), position }).execute(connection).await?;
    Prepared(RewindConsumer { consumer, position }).execute(connection).await?;
    wake_readers(connection).await?;
    Ok(handled)
}

struct WakeReaders;

impl FixedStatement for WakeReaders {
    const NAME: &'static str = "wake_event_readers";
    const SQL: &'static str = "SELECT pg_notify('aval_published', '')";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

/// Notifies the readers of events at the commit.
async fn wake_readers(connection: &mut AsyncPgConnection) -> Result<()> {
    Prepared(WakeReaders).execute(connection).await?;
    Ok(())
}

/// Deletes up to `limit` dead letters since before `time` that no other event waits behind, and returns how many it
/// deleted. Dead letters that block their subject are kept until an operator replays or skips them.
pub async fn delete_before(
    connection: &mut AsyncPgConnection,
    time: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    let expired = diesel::alias!(deferred_events as expired);
    let ids = expired
        .select(expired.field(deferred_events::id))
        .filter(expired.field(deferred_events::dead_since).lt(time))
        .filter(diesel::dsl::not(expired.field(deferred_events::blocks_subject)))
        .order(expired.field(deferred_events::id).asc())
        .limit(i64::from(limit));
    let deletion = diesel::delete(deferred_events::table.filter(deferred_events::id.eq_any(ids)));
    Ok(deletion.execute(connection).await?)
}
