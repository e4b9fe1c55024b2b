//! Lists the events of one user.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// Selects events of a user.
#[derive(Debug, Clone)]
pub struct EventListFilter {
    pub user_id: String,
    pub event_type: Option<String>,
    /// Happened at or after this time.
    pub from: DateTime<Utc>,
    /// Happened before this time.
    pub until: DateTime<Utc>,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct IngestedEvent {
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub event_type: String,
    /// A JSON object.
    #[diesel(sql_type = Text)]
    pub properties: String,
}

struct ListEvents {
    filter: EventListFilter,
    /// The key of the last event of the previous page, or a key after all others.
    before: (DateTime<Utc>, Option<String>),
    limit: i64,
}

impl FixedStatement for ListEvents {
    const NAME: &'static str = "list_ingested_events";
    /// The bounds of `occurred_at` and the equality of `user_id` leave one table for each day, whose index is read
    /// backwards, day by day, until the page is full.
    const SQL: &'static str = "\
        SELECT occurred_at, id, received_at, type AS event_type, properties FROM ingested_events \
        WHERE user_id = ?::text AND occurred_at >= ?::timestamptz AND occurred_at < ?::timestamptz \
            AND occurred_at <= ?::timestamptz AND (occurred_at, id) < (?::timestamptz, coalesce(?::text, '') COLLATE \"C\") \
            AND coalesce(type = ?::text, true) \
        ORDER BY user_id DESC, occurred_at DESC, id DESC LIMIT ?";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        let (at, id) = &self.before;
        binder.bind::<Text, _>(&self.filter.user_id)?;
        binder.bind::<Timestamptz, _>(&self.filter.from)?;
        binder.bind::<Timestamptz, _>(&self.filter.until)?;
        binder.bind::<Timestamptz, _>(at)?;
        binder.bind::<Timestamptz, _>(at)?;
        binder.bind::<Nullable<Text>, _>(id)?;
        binder.bind::<Nullable<Text>, _>(&self.filter.event_type)?;
        binder.bind::<BigInt, _>(&self.limit)
    }
}

/// One page of a user's events, newest first, starting after the event with the time and identifier `after`. Runs in a
/// transaction that begins with [`planner::BEGIN_PRUNED`](crate::storage::planner::BEGIN_PRUNED).
///
/// # Errors
/// The database's error.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &EventListFilter,
    after: Option<&(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<IngestedEvent>> {
    let before = match after {
        Some((at, id)) => (*at, Some(id.clone())),
        // No event of the filter happened at `until`, so this is after all of them.
        None => (filter.until, None),
    };
    let statement = ListEvents { filter: filter.clone(), before, limit };
    Ok(Prepared(statement).load(connection).await?)
}
