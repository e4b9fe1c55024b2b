//! Operators' overrides of the bureaus' circuit breakers.

use diesel_async::AsyncPgConnection;
use slog::warn;

use crate::actors::provider_gateway::overrides::CircuitOverrides;
use crate::error::Result;
use crate::resources::Resources;
use crate::storage::{circuit_overrides, transaction};

pub use crate::storage::circuit_overrides::{CircuitOverride, SetOverride};

/// The overrides that are known, of the countries that have one.
pub async fn list(resources: &Resources) -> Result<Vec<CircuitOverride>> {
    circuit_overrides::list(&mut *resources.database.get().await?).await
}

/// Forces a breaker open or closed on every instance, or ends that. `overrides` are this instance's.
pub async fn set(
    resources: &Resources,
    overrides: &CircuitOverrides,
    wanted: &SetOverride,
) -> Result<CircuitOverride> {
    let Resources { database, logger, .. } = resources;
    let work = async |connection: &mut AsyncPgConnection| circuit_overrides::set(connection, wanted).await;
    let known = transaction::run(database, logger, "set_circuit_override", work).await?;
    warn!(logger, "an operator has set a circuit"; "country" => wanted.country.code(),
        "mode" => wanted.mode.as_str(), "account" => &wanted.account, "request_id" => &wanted.request_id);
    // Also where this instance does not receive notifications now. What it cannot read yet, it reads at its next poll.
    if overrides.refresh(database).await.is_err() {
        overrides.wake();
    }
    Ok(known)
}
