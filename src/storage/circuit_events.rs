//! Records the changes of circuit breakers in their history and writes the events. A breaker's state is in memory, so
//! no trigger can do this.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use crate::domain::application::Country;
use crate::domain::ids::EventId;
use crate::error::Result;

/// A change of the state of a circuit breaker.
#[derive(Debug, Clone)]
pub struct NewCircuitChange {
    /// The identifier of the change and of its event. It is the same in every attempt to write the change.
    pub id: EventId,
    /// The country of the breaker's bureau.
    pub country: Country,
    pub provider: String,
    /// `opened`, `half_opened` or `closed`.
    pub kind: &'static str,
    pub instance: String,
    /// The cause, such as `consecutive_failures`.
    pub cause: &'static str,
    /// According to the clock of the instance.
    pub changed_at: DateTime<Utc>,
    /// The event type with its version, and the data; `None` for a change without an event.
    pub event: Option<(&'static str, Value)>,
}

/// Writes a change to the history and its event to the outbox. A change that is already in the history is skipped.
pub async fn record(connection: &mut AsyncPgConnection, change: &NewCircuitChange) -> Result<()> {
    let (event_type, data) = change.event.as_ref().map(|(name, data)| (*name, data)).unzip();
    let statement = "WITH recorded AS (\
            INSERT INTO circuit_changes (id, country, provider, kind, instance, cause, changed_at) \
            VALUES ($1, $2::country, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING RETURNING id) \
        SELECT record_event(recorded.id, $8, circuit_subject($2), NULL, $9) FROM recorded WHERE $8 IS NOT NULL";
    diesel::sql_query(statement)
        .bind::<SqlUuid, _>(change.id.as_uuid())
        .bind::<Text, _>(change.country.code())
        .bind::<Text, _>(&change.provider)
        .bind::<Text, _>(change.kind)
        .bind::<Text, _>(&change.instance)
        .bind::<Text, _>(change.cause)
        .bind::<Timestamptz, _>(change.changed_at)
        .bind::<Nullable<Text>, _>(event_type)
        .bind::<Nullable<Jsonb>, _>(data)
        .execute(connection)
        .await?;
    Ok(())
}
