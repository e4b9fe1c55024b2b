//! The resources shared by all parts of the engine.

use std::sync::Arc;

use slog::Logger;

use crate::clock::Clock;
use crate::config::{Secrets, Settings};
use crate::storage::Database;
use crate::supervision::faults::Faults;
use crate::supervision::work_health::WorkHealth;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracer;

/// The tables in which a newer version may store labels or event types that are unknown to this version.
pub const TABLES_WITH_LABELS: [&str; 4] = ["api_keys", "applications", "outbox", "users"];

/// The shared resources, passed to every actor. Cheap to clone.
#[derive(Clone)]
pub struct Resources {
    pub settings: Arc<Settings>,
    pub secrets: Arc<Secrets>,
    pub database: Database,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub tracer: Tracer,
    /// Whether this instance can claim jobs and publish events.
    pub work: Arc<WorkHealth>,
    pub faults: Arc<Faults>,
    /// The logger, with the actor's name added by [`Resources::named`].
    pub logger: Logger,
    /// This instance's name in leases, logs and traces.
    pub instance: Arc<str>,
}

impl Resources {
    /// Logs and counts stored labels that are unknown to this version.
    pub fn record_unknown<'a>(&self, table: &'static str, labels: impl Iterator<Item = &'a str>) {
        for label in labels {
            self.metrics.unknown_labels_total.with_label_values(&[table]).inc();
            slog::warn!(self.logger, "unknown label in a row";
                "table" => table, "label" => label);
        }
    }

    /// The same resources, with a logger for `actor`.
    pub fn named(&self, actor: &'static str) -> Self {
        Self { logger: self.logger.new(slog::o!("logger" => actor)), ..self.clone() }
    }
}
