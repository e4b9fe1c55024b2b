//! Deferred events: events that a consumer has not handled although its position is past them.
//!
//! The events of a subject are handled in the order of their offsets. The first one that blocks the subject is its head.
//! Only a head has a time for the next attempt. The others wait until it is gone.
//!
//! An event that may have ended the process of its instance is isolated: it is attempted alone, and each attempt is
//! counted before it begins.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::ids::{EventId, RequestId};
use crate::error::Result;
use crate::storage::json::StoredText;
use crate::storage::outbox::StoredEvent;
use crate::storage::schema::deferred_events;
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};

/// An event to defer.
#[derive(Debug)]
pub struct NewDeferredEvent<'a> {
    pub event_id: EventId,
    pub event_type: &'a str,
    pub subject: Uuid,
    pub partition: i16,
    pub time: DateTime<Utc>,
    pub offset: i64,
    pub request_id: Option<&'a RequestId>,
    pub traceparent: Option<&'a str>,
    pub data: &'a RawValue,
    /// Whether it may have ended the process of its instance.
    pub is_isolated: bool,
}

rows! {
    struct DeferEvents of DeferRow {
        consumer: String as Text,
        event_id: Uuid as sql_types::Uuid,
        subject: Uuid as sql_types::Uuid,
        partition: i16 as SmallInt,
        event_offset: i64 as BigInt,
        type_name: String as Text,
        event_time: DateTime<Utc> as Timestamptz,
        request_id: Option<String> as sql_types::Nullable<Text>,
        traceparent: Option<String> as sql_types::Nullable<Text>,
        data_text: String as Text,
        is_isolated: bool as sql_types::Bool,
    }
}

impl FixedStatement for DeferEvents {
    const NAME: &'static str = "defer_events";
    const SQL: &'static str = "\
        INSERT INTO deferred_events (consumer, event_id, subject, partition, event_offset, type, time, request_id, traceparent, \
            data, is_isolated) \
        SELECT consumer, event_id, subject, partition, event_offset, type_name, event_time, request_id, traceparent, \
            data_text::jsonb, is_isolated FROM ? ON CONFLICT DO NOTHING";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("e", self)
    }
}

/// Defers events. They have no time for an attempt until [`schedule_heads`] or [`super::failures::record_failure`] sets one.
pub async fn defer(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    events: &[NewDeferredEvent<'_>],
) -> Result<()> {
    let row = |event: &NewDeferredEvent<'_>| DeferRow {
        consumer: consumer.to_owned(),
        event_id: event.event_id.as_uuid(),
        subject: event.subject,
        partition: event.partition,
        event_offset: event.offset,
        type_name: event.event_type.to_owned(),
        event_time: event.time,
        request_id: event.request_id.map(|id| id.as_str().to_owned()),
        traceparent: event.traceparent.map(str::to_owned),
        data_text: event.data.get().to_owned(),
        is_isolated: event.is_isolated,
    };
    let statement: DeferEvents = events.iter().map(row).collect();
    Prepared(statement).execute(connection).await?;
    Ok(())
}

struct FindBlockedSubjects {
    consumer: String,
    subjects: Vec<Uuid>,
}

impl FixedStatement for FindBlockedSubjects {
    const NAME: &'static str = "find_blocked_subjects";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer) \
        SELECT s.subject FROM unnest(?::uuid[]) AS s (subject) CROSS JOIN LATERAL (SELECT FROM deferred_events d \
            WHERE d.consumer = (SELECT consumer FROM input) AND d.subject = s.subject AND d.blocks_subject LIMIT 1) AS b";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Array<sql_types::Uuid>, _>(&self.subjects)
    }
}

#[derive(QueryableByName)]
struct SubjectRow {
    #[diesel(sql_type = sql_types::Uuid)]
    subject: Uuid,
}

/// Those of the subjects whose new events must wait.
pub async fn blocked_subjects(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    subjects: Vec<Uuid>,
) -> Result<Vec<Uuid>> {
    let statement = FindBlockedSubjects { consumer: consumer.to_owned(), subjects };
    let rows: Vec<SubjectRow> = Prepared(statement).load(connection).await?;
    Ok(rows.into_iter().map(|row| row.subject).collect())
}

/// A subject whose head has a time for its next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledSubject {
    pub subject: Uuid,
    pub partition: i16,
    /// Whether the head is isolated.
    pub is_isolated: bool,
    /// How long until the attempt is due; zero if it is.
    pub wait: Duration,
}

struct ReadScheduledSubjects {
    consumer: String,
    partitions: Vec<i16>,
    limit: i64,
}

impl FixedStatement for ReadScheduledSubjects {
    const NAME: &'static str = "read_scheduled_subjects";
    const SQL: &'static str = "\
        SELECT d.subject, d.partition, d.is_isolated, \
            ceil(extract(epoch FROM d.next_attempt_at - clock_timestamp()) * 1000)::bigint AS wait_ms \
        FROM deferred_events d \
        WHERE d.consumer = ? AND d.next_attempt_at IS NOT NULL AND d.partition = ANY (?::smallint[]) \
        ORDER BY d.consumer, d.next_attempt_at LIMIT ?";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Array<SmallInt>, _>(&self.partitions)?;
        binder.bind::<BigInt, _>(&self.limit)
    }
}

#[derive(QueryableByName)]
struct ScheduledRow {
    #[diesel(sql_type = sql_types::Uuid)]
    subject: Uuid,
    #[diesel(sql_type = SmallInt)]
    partition: i16,
    #[diesel(sql_type = sql_types::Bool)]
    is_isolated: bool,
    #[diesel(sql_type = BigInt)]
    wait_ms: i64,
}

/// The subjects in `partitions` whose heads are due first.
pub async fn scheduled_subjects(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    partitions: Vec<i16>,
    limit: u32,
) -> Result<Vec<ScheduledSubject>> {
    let limit = i64::from(limit);
    let statement = ReadScheduledSubjects { consumer: consumer.to_owned(), partitions, limit };
    let rows: Vec<ScheduledRow> = Prepared(statement).load(connection).await?;
    let subject = |row: ScheduledRow| ScheduledSubject {
        subject: row.subject,
        partition: row.partition,
        is_isolated: row.is_isolated,
        wait: Duration::from_millis(u64::try_from(row.wait_ms).unwrap_or(0)),
    };
    Ok(rows.into_iter().map(subject).collect())
}

/// A deferred event with its state.
#[derive(Debug)]
pub struct DeferredEvent {
    pub id: Uuid,
    pub event: StoredEvent,
    /// The number of failed attempts.
    pub attempts: i32,
    pub is_dead: bool,
    pub is_isolated: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = deferred_events, check_for_backend(diesel::pg::Pg))]
pub(super) struct DeferredRow {
    id: Uuid,
    event_id: Uuid,
    type_: String,
    subject: Uuid,
    time: DateTime<Utc>,
    event_offset: i64,
    request_id: Option<String>,
    traceparent: Option<String>,
    data: StoredText,
    attempts: i32,
    dead_since: Option<DateTime<Utc>>,
    is_isolated: bool,
}

impl From<DeferredRow> for DeferredEvent {
    fn from(row: DeferredRow) -> Self {
        Self {
            id: row.id,
            event: StoredEvent {
                id: EventId::new(row.event_id),
                event_type: row.type_,
                subject: row.subject,
                time: row.time,
                offset: row.event_offset,
                request_id: row.request_id.as_deref().and_then(RequestId::parse),
                traceparent: row.traceparent,
                data: row.data.0,
            },
            attempts: row.attempts,
            is_dead: row.dead_since.is_some(),
            is_isolated: row.is_isolated,
        }
    }
}

/// The first events that block a subject, in order.
pub async fn first_of_subject(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    subject: Uuid,
    limit: u32,
) -> Result<Vec<DeferredEvent>> {
    let rows: Vec<DeferredRow> = deferred_events::table
        .select(DeferredRow::as_select())
        .filter(deferred_events::consumer.eq(consumer))
        .filter(deferred_events::subject.eq(subject))
        .filter(deferred_events::blocks_subject)
        .order(deferred_events::event_offset.asc())
        .limit(i64::from(limit))
        .load(connection)
        .await?;
    Ok(rows.into_iter().map(DeferredEvent::from).collect())
}

/// Removes deferred events after they were handled.
pub async fn remove(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<()> {
    let handled = deferred_events::table.filter(deferred_events::id.eq_any(ids));
    diesel::delete(handled).execute(connection).await?;
    Ok(())
}

struct ScheduleHeads {
    consumer: String,
    subjects: Vec<Uuid>,
}

impl FixedStatement for ScheduleHeads {
    const NAME: &'static str = "schedule_heads";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer), \
        heads AS (SELECT h.id FROM unnest(?::uuid[]) AS s (subject) CROSS JOIN LATERAL (SELECT d.id, d.dead_since, d.next_attempt_at \
                FROM deferred_events d \
                WHERE d.consumer = (SELECT consumer FROM input) AND d.subject = s.subject AND d.blocks_subject \
                ORDER BY d.consumer, d.subject, d.event_offset LIMIT 1) AS h \
            WHERE h.dead_since IS NULL AND h.next_attempt_at IS NULL) \
        UPDATE deferred_events d SET next_attempt_at = clock_timestamp() FROM heads h WHERE d.id = h.id";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Array<sql_types::Uuid>, _>(&self.subjects)
    }
}

/// Makes the heads of subjects due that have no time for an attempt yet.
pub async fn schedule_heads(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    subjects: Vec<Uuid>,
) -> Result<()> {
    Prepared(ScheduleHeads { consumer: consumer.to_owned(), subjects }).execute(connection).await?;
    Ok(())
}

struct UnscheduleSubjects {
    consumer: String,
    subjects: Vec<Uuid>,
}

impl FixedStatement for UnscheduleSubjects {
    const NAME: &'static str = "unschedule_subjects";
    const SQL: &'static str = "\
        UPDATE deferred_events SET next_attempt_at = NULL \
        WHERE consumer = ? AND subject = ANY (?::uuid[]) AND next_attempt_at IS NOT NULL";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Array<sql_types::Uuid>, _>(&self.subjects)
    }
}

/// Removes the times for attempts at the events of subjects.
pub async fn unschedule(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    subjects: Vec<Uuid>,
) -> Result<()> {
    Prepared(UnscheduleSubjects { consumer: consumer.to_owned(), subjects }).execute(connection).await?;
    Ok(())
}
