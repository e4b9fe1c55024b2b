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
    /// Logs and counts stored labels that this version does not know and shows as they are.
    pub fn note_unknown<'a>(&self, table: &'static str, labels: impl Iterator<Item = &'a str>) {
        for label in labels {
            self.metrics.unknown_labels_total.with_label_values(&[table]).inc();
            slog::warn!(self.logger, "a row has a label that this version does not know";
                "table" => table, "label" => label);
        }
    }

    /// The same with a logger that says who writes.
    pub fn named(&self, actor: &'static str) -> Self {
        Self { logger: self.logger.new(slog::o!("logger" => actor)), ..self.clone() }
    }
}
