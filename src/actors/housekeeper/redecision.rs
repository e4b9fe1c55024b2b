//! Queueing again what was decided without its bureau, when that bureau has recovered.
//!
//! Recovery is judged by this instance's own breaker. Closed: as many as the configured rate allows. Half-open and
//! waiting for a probe: one, which is the probe when there is no other traffic. Open: none. The pause of each application
//! doubles with every try, whatever other instances see.

use slog::info;

use crate::actors::provider_gateway::{BreakerStatus, ProviderGateway, ReadBreakers};
use crate::config::RedecisionSettings;
use crate::error::Result;
use crate::resilience::circuit_breaker::State;
use crate::resources::Resources;
use crate::storage::provider_retries::{self, Requeue};
use crate::storage::transaction;
use crate::supervision::handle::Handle;

/// Queues what is due now.
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
            info!(resources.logger, "applications queued to be decided again";
                "country" => breaker.country.code(), "count" => queued);
        }
    }
    Ok(())
}

/// How many applications of a country may be queued in this tick.
fn allowance(settings: &RedecisionSettings, breaker: &BreakerStatus) -> i32 {
    match breaker.snapshot.state {
        State::Closed => {
            let share = u64::from(settings.per_second) * settings.tick_ms / 1000;
            i32::try_from(share.max(1)).unwrap_or(i32::MAX)
        }
        State::HalfOpen if breaker.snapshot.wants_probe() => 1,
        State::HalfOpen | State::Open => 0,
    }
}
