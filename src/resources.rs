//! What the engine's parts share: configuration, secrets, database, clock, metrics and logger.

use std::sync::Arc;

use slog::Logger;

use crate::clock::Clock;
use crate::config::{Secrets, Settings};
use crate::storage::Database;
use crate::supervision::faults::Faults;
use crate::supervision::work_health::WorkHealth;
use crate::telemetry::metrics::Metrics;

/// What every actor is handed when it is made. Cheap to clone.
#[derive(Clone)]
pub struct Resources {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// What only this deployment may know.
    pub secrets: Arc<Secrets>,
    /// The database.
    pub database: Database,
    /// Time, identifiers and randomness.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether jobs are claimed and events published.
    pub work: Arc<WorkHealth>,
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
