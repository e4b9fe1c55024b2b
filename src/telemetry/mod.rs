//! Logs, metrics and traces, and colours of terminal output.

pub mod labels;
pub mod log;
pub mod log_levels;
pub mod metrics;
pub mod terminal;
pub mod trace;

use std::sync::Arc;

use slog::Logger;

use self::labels::KnownLabels;
use self::log_levels::LogLevels;
use self::metrics::Metrics;
use self::trace::Tracer;
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;

/// The telemetry of one process. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    pub metrics: Arc<Metrics>,
    pub tracer: Tracer,
    /// Filtered by `levels`.
    pub logger: Logger,
    pub levels: LogLevels,
    /// This instance's name in leases, logs and traces.
    pub instance: Arc<str>,
}

impl Telemetry {
    /// Builds the metrics, with 0 for all known label values, the configured log levels, and the configured tracer, whose
    /// HTTP client runs on the current arbiter. `logger` must write lines of every level.
    ///
    /// # Errors
    /// [`crate::error::Error::Configuration`] if the trace exporter cannot be built.
    pub fn new(settings: &Settings, clock: &Clock, logger: Logger, known: &KnownLabels) -> Result<Self> {
        let metrics = Arc::new(Metrics::new(known)?);
        let levels = LogLevels::new(settings.log.level, clock);
        let logger = levels.filter(logger);
        let instance: Arc<str> = format!("{}-{}", std::process::id(), clock.new_uuid().simple()).into();
        let tracer = Tracer::new(&settings.telemetry, &instance, clock, &metrics, &logger)?;
        Ok(Self { metrics, tracer, logger, levels, instance })
    }
}
