//! The log of a running instance, kept in memory.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aval::clock::Clock;
use aval::config::LogLevel;
use aval::telemetry::log;
use serde_json::Value;
use slog::{Logger, error};

use super::eventually;

/// A logger and everything written to it.
pub(crate) struct CapturedLog {
    pub(crate) logger: Logger,
    written: Written,
    marks: AtomicUsize,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl CapturedLog {
    pub(crate) fn new(level: LogLevel, clock: &Clock) -> Self {
        let written = Written::default();
        let logger = log::to_writer(written.clone(), level, clock);
        Self { logger, written, marks: AtomicUsize::new(0) }
    }

    /// Everything logged before the call. A separate thread writes the lines in order. Once a marker has arrived, all earlier
    /// lines have arrived too.
    pub(crate) async fn text(&self) -> String {
        let mark = format!("captured log, mark {}", self.marks.fetch_add(1, Ordering::Relaxed));
        error!(self.logger, "{}", mark);
        eventually(&mark, async || {
            let text = String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap();
            // The line of the marker may still be incomplete.
            let is_complete = text.rsplit_once(&mark).is_some_and(|(_, rest)| rest.contains('\n'));
            is_complete.then_some(text)
        })
        .await
    }

    /// Like [`Self::text`], as separate lines.
    pub(crate) async fn lines(&self) -> Vec<Value> {
        self.text().await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
