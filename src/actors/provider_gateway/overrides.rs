//! Operators' overrides of the circuit breakers, as this instance knows them.
//!
//! The database is the truth; here stands what it said last, with the moment at which each override ends by this instance's
//! own monotonic clock. Lanes of the provider gateway look at it with every step they take, so that a gateway that has just
//! been started follows it from its first call on, and an override ends on time even while the database is away.
//!
//! [`CircuitOverrides::follow`] reads the table when a change is announced, when somebody here made one, when an override ends,
//! and at each poll, for what was announced while nobody listened.

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

/// The task's name, in logs and metrics.
pub const NAME: &str = "circuit_overrides";

#[derive(Debug, Clone, Copy)]
struct Forced {
    mode: CircuitMode,
    /// On the clock's monotonic time.
    until: Duration,
}

/// The overrides. Cheap to clone.
#[derive(Clone)]
pub struct CircuitOverrides {
    clock: Clock,
    known: Arc<RwLock<HashMap<Country, Forced>>>,
    changed: Arc<Notify>,
    /// One reader at a time, so that what was read last is what stands.
    reading: Arc<Mutex<()>>,
}

impl CircuitOverrides {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, known: Arc::default(), changed: Arc::default(), reading: Arc::default() }
    }

    /// What operators want of a country's breaker now.
    pub fn mode(&self, country: Country) -> CircuitMode {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let forced = known.get(&country).filter(|forced| self.clock.monotonic() < forced.until);
        forced.map_or(CircuitMode::Auto, |forced| forced.mode)
    }

    /// Replaces what is known.
    pub fn set(&self, in_force: &[InForce]) {
        let now = self.clock.monotonic();
        let forced = |known: &InForce| (known.country, Forced { mode: known.mode, until: now + known.left });
        let fresh = in_force.iter().map(forced).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Reads what is in force.
    ///
    /// # Errors
    /// When the database fails; what was known stays.
    pub async fn refresh(&self, database: &Database) -> Result<()> {
        let _turn = self.reading.lock().await;
        let in_force = database.run(in_force).await?;
        self.set(&in_force);
        Ok(())
    }

    /// There may be something new in the table.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// How long until the next override ends.
    fn next_end(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|forced| forced.until.saturating_sub(now)).filter(|left| !left.is_zero()).min()
    }

    /// Follows the table, for ever. Asking the gateway how its breakers stand has it take what is new to heart at once, also
    /// where nobody calls; where none runs, nobody answers.
    pub async fn follow(self, resources: Resources, gateway: Handle<ProviderGateway>) {
        let poll = Duration::from_millis(resources.settings.jobs.poll_interval_ms);
        loop {
            if let Err(error) = self.refresh(&resources.database).await {
                warn!(resources.logger, "circuit overrides could not be read"; error);
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
    fn an_override_ends_by_itself_and_says_when() {
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
    fn what_is_read_replaces_what_was_known() {
        let overrides = CircuitOverrides::new(Clock::manual(DateTime::UNIX_EPOCH));
        let forced =
            |country| InForce { country, mode: CircuitMode::ForcedClosed, left: Duration::from_secs(1) };
        overrides.set(&[forced(Country::Es), forced(Country::Mx)]);
        overrides.set(&[forced(Country::Mx)]);
        assert_eq!(overrides.mode(Country::Es), CircuitMode::Auto);
        assert_eq!(overrides.mode(Country::Mx), CircuitMode::ForcedClosed);
    }
}
