//! Observes database statements: measures their duration by operation, and records their spans.
//!
//! Diesel reports the start and the end of each statement on a connection, in the task that runs it. Everything that is
//! measured or traced per statement belongs in [`StatementObserver`]. Only the name of the operation leaves this module:
//! the text and the values of a statement can contain personal data.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};

use super::operation;
use crate::clock::Clock;
use crate::telemetry::metrics::{Metrics, seconds};
use crate::telemetry::trace::{self, KeyValue, SpanKind};

/// Observes the statements of all sessions of a database. Cheap to clone.
#[derive(Clone)]
pub struct StatementObserver {
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl StatementObserver {
    pub fn new(metrics: &Arc<Metrics>, clock: &Clock) -> Self {
        Self { metrics: Arc::clone(metrics), clock: clock.clone() }
    }

    /// Observes all further statements of a connection.
    pub(super) fn attach(&self, connection: &mut AsyncPgConnection) {
        connection.set_instrumentation(SessionObserver { observer: self.clone(), started: None });
    }

    fn finished(&self, operation: &str, took: Duration, failed: bool) {
        let failure = failed.then_some("the statement failed");
        trace::record(SpanKind::Client, took, failure, || {
            let system = KeyValue::new("db.system.name", "postgresql");
            let operation_name = KeyValue::new("db.operation.name", operation.to_owned());
            (format!("postgresql {operation}"), vec![system, operation_name])
        });
        self.metrics.db_query_duration_seconds.with_label_values(&[operation]).observe(seconds(took));
    }
}

/// Observes one session, which runs one statement at a time.
struct SessionObserver {
    observer: StatementObserver,
    /// When the running statement started, in monotonic time.
    started: Option<Duration>,
}

impl Instrumentation for SessionObserver {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => {
                self.started = Some(self.observer.clock.monotonic());
            }
            InstrumentationEvent::FinishQuery { query, error, .. } => {
                if let Some(started) = self.started.take() {
                    let took = self.observer.clock.monotonic().saturating_sub(started);
                    let observe =
                        |sql: &str| self.observer.finished(&operation::of(sql), took, error.is_some());
                    // Diesel writes the SQL as a single piece, so this needs no copy.
                    let _ = write!(FirstPiece(Some(observe)), "{query}");
                }
            }
            _ => {}
        }
    }
}

/// Passes the first piece of formatted text to a function and discards the rest.
struct FirstPiece<F>(Option<F>);

impl<F: FnOnce(&str)> fmt::Write for FirstPiece<F> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let take = self.0.take().ok_or(fmt::Error)?;
        take(piece);
        Ok(())
    }
}
