//! Events about the circuit breakers of an instance. A breaker lives in memory, so that no trigger sees it change.

use diesel::sql_types::{Jsonb, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use crate::domain::application::Country;
use crate::domain::ids::EventId;
use crate::error::Result;

/// An event about a breaker.
#[derive(Debug, Clone)]
pub struct NewCircuitEvent {
    /// The identifier, the same at every attempt to write the event.
    pub id: EventId,
    /// The type with its version.
    pub event_type: &'static str,
    /// The country whose bureau the breaker guards.
    pub country: Country,
    /// The data.
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
