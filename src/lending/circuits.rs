//! Operators' overrides of the circuit breakers.

use diesel_async::AsyncPgConnection;
use slog::warn;

use crate::actors::provider_gateway::overrides::CircuitOverrides;
use crate::error::Result;
use crate::resources::Resources;
use crate::storage::{circuit_overrides, transaction};

pub use crate::storage::circuit_overrides::{CircuitOverride, SetOverride};

/// The overrides in force.
pub async fn list(resources: &Resources) -> Result<Vec<CircuitOverride>> {
    circuit_overrides::list(&mut *resources.database.get().await?).await
}

/// Sets or removes the override of a breaker on all instances. `overrides` are the overrides that this instance applies.
pub async fn set(
    resources: &Resources,
    overrides: &CircuitOverrides,
    request: &SetOverride,
) -> Result<CircuitOverride> {
    let Resources { database, logger, .. } = resources;
    let work = async |connection: &mut AsyncPgConnection| circuit_overrides::set(connection, request).await;
    let stored = transaction::run(database, logger, "set_circuit_override", work).await?;
    warn!(logger, "circuit breaker override set"; "country" => request.country.code(),
        "mode" => request.mode.as_str(), "request_id" => &request.request_id);
    // The override must also apply if this instance currently receives no notifications. If this read fails, the wake-up
    // makes the poll read the overrides again.
    if overrides.refresh(database).await.is_err() {
        overrides.wake();
    }
    Ok(stored)
}
