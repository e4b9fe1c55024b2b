//! The isolation of deferred events that an instance was attempting when it died.
//!
//! Which of them ended the process is unknown, so all that it may have been attempting are isolated
//! ([`super::deferred`]).

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

struct IsolateDueEvents {
    consumer: String,
    partitions: Vec<i16>,
    subjects: i64,
    per_subject: i64,
}

impl FixedStatement for IsolateDueEvents {
    const NAME: &'static str = "isolate_due_events";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer, ?::bigint AS subjects, ?::bigint AS per_subject), \
        due AS MATERIALIZED (SELECT d.subject FROM deferred_events d \
            WHERE d.consumer = (SELECT consumer FROM input) AND d.next_attempt_at <= clock_timestamp() \
                AND d.partition = ANY (?::smallint[]) \
            ORDER BY d.consumer, d.next_attempt_at LIMIT (SELECT subjects FROM input)), \
        first AS MATERIALIZED (SELECT f.id FROM due CROSS JOIN LATERAL (SELECT d.id FROM deferred_events d \
            WHERE d.consumer = (SELECT consumer FROM input) AND d.subject = due.subject AND d.blocks_subject \
            ORDER BY d.consumer, d.subject, d.event_offset LIMIT (SELECT per_subject FROM input)) AS f) \
        UPDATE deferred_events d SET is_isolated = true WHERE d.id = ANY (ARRAY(SELECT id FROM first))";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<BigInt, _>(&self.subjects)?;
        binder.bind::<BigInt, _>(&self.per_subject)?;
        binder.bind::<Array<SmallInt>, _>(&self.partitions)
    }
}

/// Isolates the events of `partitions` that a former owner may have been attempting: of the first `subjects` subjects
/// whose heads are due, the first `per_subject` events.
pub async fn isolate_due(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    partitions: Vec<i16>,
    (subjects, per_subject): (u32, u32),
) -> Result<()> {
    let (subjects, per_subject) = (i64::from(subjects), i64::from(per_subject));
    let consumer = consumer.to_owned();
    let statement = IsolateDueEvents { consumer, partitions, subjects, per_subject };
    Prepared(statement).execute(connection).await?;
    Ok(())
}
