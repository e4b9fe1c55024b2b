//! Operators' overrides of the circuit breakers, and the history of breakers and overrides.

use diesel_async::AsyncPgConnection;
use slog::warn;
use uuid::Uuid;

use crate::actors::provider_gateway::overrides::CircuitOverrides;
use crate::domain::application::Country;
use crate::error::Result;
use crate::resources::Resources;
use crate::storage::{circuit_history, circuit_overrides, transaction};

pub use crate::storage::circuit_history::{CircuitChange, WhatChanged};
pub use crate::storage::circuit_overrides::{CircuitOverride, SetOverride};

/// The overrides in force.
pub async fn list(resources: &Resources) -> Result<Vec<CircuitOverride>> {
    circuit_overrides::list(&mut *resources.database.get().await?).await
}

/// Up to `limit` changes of breakers and overrides before the change `before`, newest first, of one country or of all.
pub async fn history(
    resources: &Resources,
    country: Option<Country>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<CircuitChange>> {
    circuit_history::list_page(&mut *resources.database.get().await?, country, before, limit).await
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
