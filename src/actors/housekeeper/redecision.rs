//! Queues re-decisions of applications that were decided without their bureau, after the bureau has recovered.
//!
//! This instance's own circuit breaker shows whether the bureau has recovered. The number of applications that are queued
//! depends on its state:
//! - closed: as many as `redecision.per_second` allows;
//! - half-open and ready for a probe: one. Without other traffic, its call is the probe;
//! - open: none.
//!
//! The delay before the next re-decision of an application doubles with every attempt. The database stores it.

use slog::info;

use crate::actors::provider_gateway::{BreakerStatus, ProviderGateway, ReadBreakers};
use crate::config::RedecisionSettings;
use crate::error::Result;
use crate::resilience::circuit_breaker::State;
use crate::resources::Resources;
use crate::storage::provider_retries::{self, Requeue};
use crate::storage::transaction;
use crate::supervision::handle::Handle;

/// Queues the re-decisions that are due.
pub(super) async fn redecide(resources: &Resources, gateway: &Handle<ProviderGateway>) -> Result<()> {
    let mut connection = resources.database.get().await?;
    let waiting = provider_retries::countries_due(&mut connection).await?;
    if waiting.is_empty() {
        return Ok(());
    }
    let settings = &resources.settings.redecision;
    let breakers = gateway.ask(ReadBreakers).await?;
    for breaker in breakers.iter().filter(|breaker| waiting.contains(&breaker.country)) {
        let limit = allowance(settings, breaker);
        if limit == 0 {
            continue;
        }
        let requeue = Requeue {
            country: breaker.country,
            limit,
            min_interval_ms: i64::try_from(settings.min_interval_ms).unwrap_or(i64::MAX),
            max_interval_ms: i64::try_from(settings.max_interval_ms).unwrap_or(i64::MAX),
        };
        let queue = async |connection: &mut _| provider_retries::requeue_due(connection, requeue).await;
        let queued = transaction::single(&mut connection, queue).await?;
        if queued > 0 {
            info!(resources.logger, "re-decisions queued";
                "country" => breaker.country.code(), "count" => queued);
        }
    }
    Ok(())
}

/// The maximum number of applications of a country that this tick may queue.
fn allowance(settings: &RedecisionSettings, breaker: &BreakerStatus) -> i32 {
    match breaker.snapshot.state {
        State::Closed => {
            let share = u64::from(settings.per_second) * settings.tick_ms / 1000;
            i32::try_from(share.max(1)).unwrap_or(i32::MAX)
        }
        State::HalfOpen if breaker.snapshot.is_ready_for_probe() => 1,
        State::HalfOpen | State::Open => 0,
    }
}
