//! The operators' circuit breaker overrides, as known to this instance.
//!
//! The database is the source of truth. [`CircuitOverrides`] caches the overrides that were read last, and when each one
//! ends on this instance's monotonic clock. The gateway applies the overrides before every use of a breaker. Therefore a
//! new gateway applies them from its first call, and an override ends on time even while the database is unavailable.
//!
//! [`CircuitOverrides::follow`] reads the table after a notification, after a change by this instance, when an override
//! ends, and on a poll, in case a notification was lost.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use slog::warn;
use tokio::sync::{Mutex, Notify};

use crate::actors::provider_gateway::{ProviderGateway, ReadBreakers};
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::error::Result;
use crate::resilience::circuit_breaker::CircuitMode;
use crate::resources::Resources;
use crate::storage::Database;
use crate::storage::circuit_overrides::{InForce, in_force};
use crate::supervision::handle::Handle;

/// The name of the asynchronous task in logs and metrics.
pub const NAME: &str = "circuit_overrides";

#[derive(Debug, Clone, Copy)]
struct Forced {
    mode: CircuitMode,
    /// When the override ends, in the clock's monotonic time.
    until: Duration,
}

/// The overrides known to this instance. Cheap to clone.
#[derive(Clone)]
pub struct CircuitOverrides {
    clock: Clock,
    known: Arc<RwLock<HashMap<Country, Forced>>>,
    changed: Arc<Notify>,
    /// Serializes reads, so the latest read determines the state.
    reading: Arc<Mutex<()>>,
}

impl CircuitOverrides {
    pub fn new(clock: Clock) -> Self {
        Self { clock, known: Arc::default(), changed: Arc::default(), reading: Arc::default() }
    }

    /// The current mode of a country's breaker.
    pub fn mode(&self, country: Country) -> CircuitMode {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let forced = known.get(&country).filter(|forced| self.clock.monotonic() < forced.until);
        forced.map_or(CircuitMode::Auto, |forced| forced.mode)
    }

    /// Replaces the overrides.
    pub fn set(&self, in_force: &[InForce]) {
        let now = self.clock.monotonic();
        let forced = |known: &InForce| (known.country, Forced { mode: known.mode, until: now + known.left });
        let fresh = in_force.iter().map(forced).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Reads the overrides in force.
    ///
    /// # Errors
    /// If the database fails. The overrides then remain unchanged.
    pub async fn refresh(&self, database: &Database) -> Result<()> {
        let _turn = self.reading.lock().await;
        let in_force = database.run(in_force).await?;
        self.set(&in_force);
        Ok(())
    }

    /// Signals that the table may have changed.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// The time until the next override ends.
    fn next_end(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|forced| forced.until.saturating_sub(now)).filter(|left| !left.is_zero()).min()
    }

    /// Keeps the overrides up to date. Never returns. It also sends [`ReadBreakers`], which makes the gateway apply changes
    /// immediately, even without calls. The response is ignored, because some instances run no gateway.
    pub async fn follow(self, resources: Resources, gateway: Handle<ProviderGateway>) {
        let poll = Duration::from_millis(resources.settings.jobs.poll_interval_ms);
        loop {
            if let Err(error) = self.refresh(&resources.database).await {
                warn!(resources.logger, "cannot read circuit breaker overrides"; error);
            }
            let _ = gateway.ask(ReadBreakers).await;
            let pause = self.next_end().map_or(poll, |end| end.min(poll));
            let _ = tokio::time::timeout(pause, self.changed.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn an_override_expires_and_its_end_is_reported() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let overrides = CircuitOverrides::new(clock.clone());
        let left = Duration::from_secs(10);
        overrides.set(&[InForce { country: Country::Es, mode: CircuitMode::ForcedOpen, left }]);
        assert_eq!(overrides.mode(Country::Es), CircuitMode::ForcedOpen);
        assert_eq!(overrides.mode(Country::Pt), CircuitMode::Auto);
        assert_eq!(overrides.next_end(), Some(left));
        clock.advance(left);
        assert_eq!(overrides.mode(Country::Es), CircuitMode::Auto);
        assert_eq!(overrides.next_end(), None);
    }

    #[test]
    fn a_read_replaces_all_overrides() {
        let overrides = CircuitOverrides::new(Clock::manual(DateTime::UNIX_EPOCH));
        let forced =
            |country| InForce { country, mode: CircuitMode::ForcedClosed, left: Duration::from_secs(1) };
        overrides.set(&[forced(Country::Es), forced(Country::Mx)]);
        overrides.set(&[forced(Country::Mx)]);
        assert_eq!(overrides.mode(Country::Es), CircuitMode::Auto);
        assert_eq!(overrides.mode(Country::Mx), CircuitMode::ForcedClosed);
    }
}
