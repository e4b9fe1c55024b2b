//! Inserts groups of events, one statement per group.
//!
//! `ON CONFLICT DO NOTHING RETURNING` returns the keys of the inserted rows, which is all that is needed to tell accepted
//! events from repeated ones. `DO UPDATE` with `xmax` would answer the same question, but would write a lock to every row
//! that already exists. An event whose key exists is compared with the stored row in a second statement, which only groups
//! with repeated events need.
//!
//! The insert is not in an explicit transaction: it is one statement, and `BEGIN` and `COMMIT` would be two more round trips.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Integer, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{SharedText, days};
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};
use crate::storage::{Database, is_missing_partition, planner, transaction};

/// A valid event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIngestedEvent {
    pub user_id: SharedText,
    /// To the microsecond, as PostgreSQL stores it.
    pub occurred_at: DateTime<Utc>,
    pub id: SharedText,
    pub event_type: SharedText,
    /// A JSON object that can be cast to `jsonb`.
    pub properties: SharedText,
}

impl NewIngestedEvent {
    /// The order of keys.
    fn order(&self, other: &Self) -> Ordering {
        let by_user = self.user_id.cmp(&other.user_id);
        by_user.then_with(|| self.occurred_at.cmp(&other.occurred_at)).then_with(|| self.id.cmp(&other.id))
    }
}

/// What happened to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was inserted.
    Accepted,
    /// An event with its key, type and properties was already stored.
    Duplicate,
    /// An event with its key, but another type or other properties, was already stored. The stored event is unchanged.
    Conflict,
}

/// The primary key of an event.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
pub struct EventKey {
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = Timestamptz)]
    occurred_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    id: String,
}

impl EventKey {
    fn is_of(&self, event: &NewIngestedEvent) -> bool {
        self.occurred_at == event.occurred_at
            && self.user_id.as_bytes() == event.user_id.as_bytes()
            && self.id.as_bytes() == event.id.as_bytes()
    }
}

rows! {
    struct InsertedRows of InsertedRow {
        occurred_at: DateTime<Utc> as Timestamptz,
        user_id: SharedText as Text,
        id: SharedText as Text,
        event_type: SharedText as Text,
        properties: SharedText as Text,
    }
}

impl From<&NewIngestedEvent> for InsertedRow {
    fn from(event: &NewIngestedEvent) -> Self {
        let NewIngestedEvent { user_id, occurred_at, id, event_type, properties } = event.clone();
        Self { occurred_at, user_id, id, event_type, properties }
    }
}

struct InsertEvents {
    received_at: DateTime<Utc>,
    rows: InsertedRows,
}

impl FixedStatement for InsertEvents {
    const NAME: &'static str = "insert_ingested_events";
    const SQL: &'static str = "\
        INSERT INTO ingested_events (occurred_at, received_at, user_id, id, type, properties) \
        SELECT r.occurred_at, ?::timestamptz, r.user_id, r.id, r.event_type, r.properties FROM ? \
        ON CONFLICT DO NOTHING RETURNING user_id, occurred_at, id";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Timestamptz, _>(&self.received_at)?;
        binder.bind_rows("r", &self.rows)
    }
}

/// Inserts events, which should be ordered by key, and returns the keys of those that were new, in the same order.
///
/// # Errors
/// The database's error, also if the partition of a day is missing.
pub async fn insert(
    connection: &mut AsyncPgConnection,
    received_at: DateTime<Utc>,
    events: &[&NewIngestedEvent],
) -> QueryResult<Vec<EventKey>> {
    let rows = events.iter().copied().map(InsertedRow::from).collect();
    Prepared(InsertEvents { received_at, rows }).load(connection).await
}

rows! {
    struct RepeatedRows of RepeatedRow {
        n: i32 as Integer,
        occurred_at: DateTime<Utc> as Timestamptz,
        user_id: SharedText as Text,
        id: SharedText as Text,
        event_type: SharedText as Text,
        properties: SharedText as Text,
    }
}

struct MatchEvents {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    rows: RepeatedRows,
}

impl FixedStatement for MatchEvents {
    const NAME: &'static str = "match_ingested_events";
    /// The bounds of `occurred_at` exclude all other days when the statement is planned.
    const SQL: &'static str = "\
        SELECT r.n FROM ? JOIN ingested_events e \
            ON e.user_id = r.user_id AND e.occurred_at = r.occurred_at AND e.id = r.id \
        WHERE e.occurred_at >= ?::timestamptz AND e.occurred_at <= ?::timestamptz \
            AND e.type = r.event_type AND e.properties = r.properties";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("r", &self.rows)?;
        binder.bind::<Timestamptz, _>(&self.first)?;
        binder.bind::<Timestamptz, _>(&self.last)
    }
}

#[derive(QueryableByName)]
struct MatchedRow {
    #[diesel(sql_type = Integer)]
    n: i32,
}

/// The positions of the events that are stored with the same type and properties.
///
/// # Errors
/// The database's error.
pub async fn matching(
    connection: &mut AsyncPgConnection,
    events: &[&NewIngestedEvent],
) -> Result<Vec<usize>> {
    let times = || events.iter().map(|event| event.occurred_at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(Vec::new()) };
    let numbered = (0..).zip(events.iter().copied());
    let row = |(n, event)| {
        let InsertedRow { occurred_at, user_id, id, event_type, properties } = InsertedRow::from(event);
        RepeatedRow { n, occurred_at, user_id, id, event_type, properties }
    };
    let statement = MatchEvents { first, last, rows: numbered.map(row).collect() };
    let found: Vec<MatchedRow> = Prepared(statement).load(connection).await?;
    Ok(found.into_iter().filter_map(|row| usize::try_from(row.n).ok()).collect())
}

/// Stores events and returns what happened to each, in the order given. Of several events with one key, the first is
/// stored. Creates missing partitions. Everything is committed when this returns.
///
/// # Errors
/// The errors of the database and of its pool. Nothing or everything was stored.
pub async fn store(
    database: &Database,
    received_at: DateTime<Utc>,
    events: &[NewIngestedEvent],
) -> Result<Vec<Stored>> {
    let order = order(events);
    let firsts = firsts(events, &order);
    let rows: Vec<&NewIngestedEvent> = firsts.iter().filter_map(|n| events.get(*n)).collect();
    let insert_rows =
        async |connection: &mut AsyncPgConnection| insert_making_days(connection, received_at, &rows).await;
    let inserted = database.run(insert_rows).await?;
    let mut outcomes = vec![Stored::Conflict; events.len()];
    let mut keys = inserted.iter().peekable();
    for (n, event) in firsts.iter().zip(rows.iter().copied()) {
        if keys.next_if(|key| key.is_of(event)).is_some()
            && let Some(outcome) = outcomes.get_mut(*n)
        {
            *outcome = Stored::Accepted;
        }
    }
    if inserted.len() < events.len() {
        mark_duplicates(database, events, &mut outcomes).await?;
    }
    Ok(outcomes)
}

async fn insert_making_days(
    connection: &mut AsyncPgConnection,
    received_at: DateTime<Utc>,
    rows: &[&NewIngestedEvent],
) -> Result<Vec<EventKey>> {
    match insert(connection, received_at, rows).await {
        Err(error) if is_missing_partition(&error) => make_days(connection, rows).await?,
        other => return Ok(other?),
    }
    Ok(insert(connection, received_at, rows).await?)
}

async fn make_days(
    connection: &mut AsyncPgConnection,
    rows: &[&NewIngestedEvent],
) -> Result<(), DieselError> {
    let mut wanted: Vec<_> = rows.iter().map(|row| row.occurred_at.date_naive()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    for day in wanted {
        days::ensure(connection, day, 1).await?;
    }
    Ok(())
}

/// Tells the events that were not inserted apart: those that equal the stored event are duplicates.
async fn mark_duplicates(
    database: &Database,
    events: &[NewIngestedEvent],
    outcomes: &mut [Stored],
) -> Result<()> {
    let unknown = outcomes.iter().enumerate().filter(|(_, outcome)| **outcome != Stored::Accepted);
    let positions: Vec<usize> = unknown.map(|(n, _)| n).collect();
    let repeated: Vec<&NewIngestedEvent> = positions.iter().filter_map(|n| events.get(*n)).collect();
    let compare = async |connection: &mut AsyncPgConnection| {
        let work = async |connection: &mut AsyncPgConnection| Ok(matching(connection, &repeated).await?);
        transaction::once_beginning(connection, planner::BEGIN_PRUNED, work).await
    };
    for n in database.run(compare).await? {
        if let Some(outcome) = positions.get(n).and_then(|n| outcomes.get_mut(*n)) {
            *outcome = Stored::Duplicate;
        }
    }
    Ok(())
}

/// The positions of the events in the order of their keys. Of equal keys, the one that was sent first comes first.
fn order(events: &[NewIngestedEvent]) -> Vec<usize> {
    let mut order: Vec<(usize, &NewIngestedEvent)> = events.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.order(b));
    order.into_iter().map(|(n, _)| n).collect()
}

/// The first position of each key.
fn firsts(events: &[NewIngestedEvent], order: &[usize]) -> Vec<usize> {
    let mut firsts = order.to_vec();
    firsts.dedup_by(|later, earlier| match (events.get(*later), events.get(*earlier)) {
        (Some(later), Some(earlier)) => later.order(earlier) == Ordering::Equal,
        _ => false,
    });
    firsts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user_id: &str, second: i64, id: &str) -> NewIngestedEvent {
        let text = |text: &str| SharedText::from(text.to_owned());
        NewIngestedEvent {
            user_id: text(user_id),
            occurred_at: DateTime::from_timestamp(second, 0).unwrap(),
            id: text(id),
            event_type: text("t"),
            properties: text("{}"),
        }
    }

    #[test]
    fn events_are_inserted_in_the_order_of_their_keys_and_only_the_first_of_each_key() {
        let events = [
            event("b", 1, "x"),
            event("a", 2, "x"),
            event("a", 1, "y"),
            event("b", 1, "x"),
            event("a", 2, "a"),
        ];
        let order = order(&events);
        assert_eq!(order, [2, 4, 1, 0, 3]);
        assert_eq!(firsts(&events, &order), [2, 4, 1, 0]);
    }
}
