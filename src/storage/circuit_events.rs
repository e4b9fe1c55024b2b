//! Events about circuit breakers. A breaker's state is in memory, so no trigger can write them.

use diesel::sql_types::{Jsonb, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use crate::domain::application::Country;
use crate::domain::ids::EventId;
use crate::error::Result;

/// An event about a circuit breaker.
#[derive(Debug, Clone)]
pub struct NewCircuitEvent {
    /// The identifier, which is the same in every attempt to write the event.
    pub id: EventId,
    /// The event type with its version.
    pub event_type: &'static str,
    /// The country of the breaker's bureau.
    pub country: Country,
    pub data: Value,
}

/// Writes an event to the outbox.
pub async fn record(connection: &mut AsyncPgConnection, event: &NewCircuitEvent) -> Result<()> {
    diesel::sql_query("SELECT record_event($1, $2, circuit_subject($3), NULL, $4)")
        .bind::<SqlUuid, _>(event.id.as_uuid())
        .bind::<Text, _>(event.event_type)
        .bind::<Text, _>(event.country.code())
        .bind::<Jsonb, _>(&event.data)
        .execute(connection)
        .await?;
    Ok(())
}
