//! The inbox: which events each consumer has handled.

use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::ids::EventId;
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

struct RecordHandled {
    consumer: String,
    ids: Vec<Uuid>,
    offsets: Vec<i64>,
}

impl FixedStatement for RecordHandled {
    const NAME: &'static str = "record_handled_events";
    const SQL: &'static str = "\
        INSERT INTO inbox (consumer, event_id, event_offset) \
        SELECT ?::text, e.id, e.event_offset FROM unnest(?::uuid[], ?::bigint[]) AS e (id, event_offset) \
        ON CONFLICT DO NOTHING RETURNING event_id";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Array<sql_types::Uuid>, _>(&self.ids)?;
        binder.bind::<Array<BigInt>, _>(&self.offsets)
    }
}

#[derive(QueryableByName)]
struct RecordedRow {
    #[diesel(sql_type = sql_types::Uuid)]
    event_id: Uuid,
}

/// Records that a consumer handles events, given with their offsets, in this transaction. Returns those that it has not
/// handled before; the others must be skipped.
pub async fn record(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    events: &[(EventId, i64)],
) -> Result<Vec<EventId>> {
    let statement = RecordHandled {
        consumer: consumer.to_owned(),
        ids: events.iter().map(|(id, _)| id.as_uuid()).collect(),
        offsets: events.iter().map(|(_, offset)| *offset).collect(),
    };
    let rows: Vec<RecordedRow> = Prepared(statement).load(connection).await?;
    Ok(rows.into_iter().map(|row| EventId::new(row.event_id)).collect())
}

struct DeleteExpiredInbox {
    limit: i64,
}

impl FixedStatement for DeleteExpiredInbox {
    const NAME: &'static str = "delete_expired_inbox";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::bigint AS at_most), \
        oldest AS (SELECT coalesce( \
            (SELECT o.relay_offset FROM outbox o WHERE o.relay_offset IS NOT NULL ORDER BY o.relay_offset LIMIT 1), \
            (SELECT last_offset + 1 FROM outbox_position WHERE singleton)) AS event_offset), \
        expired AS (SELECT e.consumer, e.event_id \
            FROM (SELECT DISTINCT consumer FROM consumer_partitions) AS c CROSS JOIN LATERAL (SELECT i.consumer, i.event_id \
                FROM inbox i WHERE i.consumer = c.consumer AND i.event_offset < (SELECT event_offset FROM oldest) \
                ORDER BY i.consumer, i.event_offset LIMIT (SELECT at_most FROM input)) AS e \
            LIMIT (SELECT at_most FROM input)) \
        DELETE FROM inbox i USING expired e WHERE i.consumer = e.consumer AND i.event_id = e.event_id";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<BigInt, _>(&self.limit)
    }
}

/// Deletes up to `limit` rows of events that the outbox no longer contains, and returns how many it deleted. A consumer
/// cannot read these events again.
pub async fn delete_expired(connection: &mut AsyncPgConnection, limit: u32) -> Result<usize> {
    Ok(Prepared(DeleteExpiredInbox { limit: i64::from(limit) }).execute(connection).await?)
}
