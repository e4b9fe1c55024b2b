//! The actors: who owns what, and what happens when one dies.

pub mod broadcaster;
pub mod faults;
pub mod lifeline;
pub mod outbox_relay;
pub mod recorder;
mod rounds;

use std::sync::Arc;

use slog::Logger;

use crate::actors::faults::Faults;
use crate::clock::Clock;
use crate::config::Settings;
use crate::storage::Database;
use crate::telemetry::metrics::Metrics;

/// What every actor is handed when it is made. Cheap to clone.
#[derive(Clone)]
pub struct Resources {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The database.
    pub database: Database,
    /// Time, identifiers and randomness.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Injected faults.
    pub faults: Arc<Faults>,
    /// The logger, with the actor's name added by [`Resources::named`].
    pub logger: Logger,
    /// This instance's name, in leases and metrics.
    pub instance: Arc<str>,
}

impl Resources {
    /// The same with a logger that says who writes.
    pub fn named(&self, actor: &'static str) -> Self {
        Self { logger: self.logger.new(slog::o!("logger" => actor)), ..self.clone() }
    }
}
