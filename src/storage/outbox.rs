//! The outbox: the table of events, which the relay publishes.
//!
//! Triggers write most events; [`circuit_events`](super::circuit_events) writes the others. The leading relay assigns
//! offsets in the global sequence ([`publish`]), in the order of insertion among the visible rows. For events of one
//! application, this is the order of its changes, because the application's row lock serialises them. The row that holds
//! the position is locked while a batch gets its offsets. Therefore even two relays that both act as the leader cannot
//! assign an offset twice or leave a gap.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::StoredText;
use super::schema::{consumer_partitions, outbox, outbox_position, statistics_position};
use super::statement::{Binder, FixedStatement, Prepared};
use crate::domain::ids::{EventId, RequestId};
use crate::domain::published::Position;
use crate::error::{Error, Result};

/// The result of one publication.
#[derive(Debug, Clone, Copy, PartialEq, QueryableByName)]
pub struct Publication {
    /// The number of published events.
    #[diesel(sql_type = BigInt)]
    pub published: i64,
    /// How long the oldest published event had waited, in microseconds.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub oldest_wait_us: Option<i64>,
}

struct PublishOutbox {
    limit: i32,
}

impl FixedStatement for PublishOutbox {
    const NAME: &'static str = "publish_outbox";
    /// The query for the events refers to the position, so every plan locks the row of the position before the rows of the
    /// events. Therefore concurrent publications lock in the same order.
    const SQL: &'static str = "\
        WITH last AS (SELECT last_offset FROM outbox_position WHERE singleton FOR UPDATE), \
        batch AS (SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM ( \
            SELECT w.seq FROM last CROSS JOIN LATERAL (SELECT o.seq FROM outbox o \
                WHERE o.relay_offset IS NULL AND last.last_offset IS NOT NULL \
                ORDER BY o.seq LIMIT ? FOR UPDATE) AS w) AS waiting), \
        placed AS (UPDATE outbox o SET relay_offset = last.last_offset + batch.place, published_at = now() \
            FROM batch, last WHERE o.seq = batch.seq RETURNING o.time), \
        moved AS (UPDATE outbox_position SET last_offset = last_offset + (SELECT count(*) FROM batch) \
            WHERE singleton AND EXISTS (SELECT FROM batch)), \
        told AS (SELECT pg_notify('aval_published', (last_offset + (SELECT count(*) FROM batch))::text) \
            FROM last WHERE EXISTS (SELECT FROM batch)) \
        SELECT count(*) AS published, (extract(epoch FROM now() - min(time)) * 1000000)::bigint AS oldest_wait_us \
        FROM placed LEFT JOIN told ON true";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Integer, _>(&self.limit)
    }
}

/// Assigns offsets to up to `limit` waiting events and sends a notification with the new last offset, in one statement.
pub async fn publish(connection: &mut AsyncPgConnection, limit: u32) -> Result<Publication> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    Ok(Prepared(PublishOutbox { limit }).get_result(connection).await?)
}

/// The epoch and the last offset of the sequence.
pub async fn position(connection: &mut AsyncPgConnection) -> Result<Position> {
    let (epoch, offset) = outbox_position::table
        .select((outbox_position::epoch, outbox_position::last_offset))
        .first(connection)
        .await?;
    Ok(Position { epoch, offset })
}

/// Begins a new epoch if the epoch is still `known` and the sequence ends before the offset `announced`. In that case,
/// events that were announced are lost, for example after a failover to a replica that had not received them. Offsets of
/// different epochs are not comparable, so every client detects the gap and reloads. Returns whether a new epoch began.
pub async fn begin_new_epoch(
    connection: &mut AsyncPgConnection,
    known: Uuid,
    announced: i64,
) -> Result<bool> {
    let ends_before = outbox_position::table
        .filter(outbox_position::epoch.eq(known))
        .filter(outbox_position::last_offset.lt(announced));
    let changed = diesel::update(ends_before)
        .set(outbox_position::epoch.eq(diesel::dsl::sql::<diesel::sql_types::Uuid>("gen_random_uuid()")))
        .execute(connection)
        .await?;
    Ok(changed > 0)
}

/// How long the oldest unpublished event has waited; `None` if all are published.
pub async fn oldest_wait(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<Option<Duration>> {
    let oldest: Option<DateTime<Utc>> = outbox::table
        .select(outbox::time)
        .filter(outbox::relay_offset.is_null())
        .order(outbox::seq.asc())
        .first(connection)
        .await
        .optional()?;
    Ok(oldest.map(|time| (now - time).to_std().unwrap_or_default()))
}

/// The first offset that can still be read; `None` if nothing was published or everything has expired.
pub async fn oldest_offset(connection: &mut AsyncPgConnection) -> Result<Option<i64>> {
    Ok(outbox::table
        .select(outbox::relay_offset)
        .filter(outbox::relay_offset.is_not_null())
        .order(outbox::relay_offset.asc())
        .first::<Option<i64>>(connection)
        .await
        .optional()?
        .flatten())
}

/// A published event as stored.
#[derive(Debug)]
pub struct StoredEvent {
    pub id: EventId,
    /// The type with its version.
    pub event_type: String,
    /// The identifier of the changed object.
    pub subject: Uuid,
    /// When the row was written.
    pub time: DateTime<Utc>,
    pub offset: i64,
    /// The request that caused the event.
    pub request_id: Option<RequestId>,
    pub traceparent: Option<String>,
    /// The data as JSON. Each consumer decodes it, so data that one consumer cannot decode does not block other events.
    pub data: Box<RawValue>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = outbox, check_for_backend(diesel::pg::Pg))]
struct OutboxRow {
    id: Uuid,
    type_: String,
    subject: Uuid,
    time: DateTime<Utc>,
    relay_offset: Option<i64>,
    request_id: Option<String>,
    traceparent: Option<String>,
    data: StoredText,
}

impl TryFrom<OutboxRow> for StoredEvent {
    type Error = Error;

    fn try_from(row: OutboxRow) -> Result<Self> {
        Ok(Self {
            id: EventId::new(row.id),
            event_type: row.type_,
            subject: row.subject,
            time: row.time,
            offset: row.relay_offset.ok_or_else(|| Error::internal("an unpublished event was read"))?,
            request_id: row.request_id.as_deref().and_then(RequestId::parse),
            traceparent: row.traceparent,
            data: row.data.0,
        })
    }
}

/// Reads up to `limit` published events after `offset`, in order.
pub async fn read_after(
    connection: &mut AsyncPgConnection,
    offset: i64,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let rows: Vec<OutboxRow> = outbox::table
        .select(OutboxRow::as_select())
        .filter(outbox::relay_offset.gt(offset))
        .order(outbox::relay_offset.asc())
        .limit(i64::from(limit))
        .load(connection)
        .await?;
    rows.into_iter().map(StoredEvent::try_from).collect()
}

/// How long published events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxRetention {
    /// For all events.
    pub minimum: Duration,
    /// For events that a consumer has not read. Events that are older are deleted, and the consumer loses them.
    pub unread: Duration,
}

/// Deletes up to `limit` expired events and returns how many it deleted. Events that the statistics have not counted are
/// kept.
pub async fn delete_expired(
    connection: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    retention: OutboxRetention,
    limit: u32,
) -> Result<usize> {
    let before = now - chrono::TimeDelta::from_std(retention.minimum).map_err(Error::internal)?;
    let before_if_unread = now - chrono::TimeDelta::from_std(retention.unread).map_err(Error::internal)?;
    let read_to =
        consumer_partitions::table.select(diesel::dsl::min(consumer_partitions::position)).single_value();
    let expired = diesel::alias!(outbox as expired);
    let counted_to =
        statistics_position::table.select(statistics_position::last_offset.nullable()).single_value();
    let seqs = expired
        .select(expired.field(outbox::seq))
        .filter(expired.field(outbox::published_at).lt(before))
        .filter(expired.field(outbox::relay_offset).le(counted_to))
        .filter(
            expired
                .field(outbox::published_at)
                .lt(before_if_unread)
                .or(read_to.is_null())
                .or(expired.field(outbox::relay_offset).le(read_to)),
        )
        .order(expired.field(outbox::seq).asc())
        .limit(i64::from(limit));
    Ok(diesel::delete(outbox::table.filter(outbox::seq.eq_any(seqs))).execute(connection).await?)
}
