//! The end, in order: each stage is timed and logged, and no stage can keep the process for ever.
//!
//! Readiness fails first, so that no new work is sent here; then requests in flight finish, WebSocket clients are told
//! to go elsewhere (1001), the scheduler claims nothing more, running jobs end or go back without costing an attempt, the
//! outbox is published, and the actors and the database are stopped last. Whatever a deadline cuts short is safe: leases
//! run out, events wait in the outbox, transactions roll back.

use std::future::Future;
use std::time::Duration;

use slog::{Logger, info, warn};

use crate::clock::Clock;

/// The stages of one shutdown and the time that they share.
pub struct Shutdown {
    clock: Clock,
    logger: Logger,
    started: Duration,
    deadline: Duration,
}

impl Shutdown {
    /// A shutdown that begins now and may take `deadline` in all.
    pub fn begin(clock: &Clock, logger: &Logger, deadline: Duration) -> Self {
        let logger = logger.new(slog::o!("logger" => "shutdown"));
        info!(logger, "stopping"; "deadline_ms" => deadline.as_millis());
        Self { clock: clock.clone(), logger, started: clock.monotonic(), deadline }
    }

    /// The time that is left, and never less than `least`: a stage that cannot be skipped gets that much.
    pub fn left(&self, least: Duration) -> Duration {
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        self.deadline.saturating_sub(elapsed).max(least)
    }

    /// Runs a stage within the time that is left, or within `least` when there is hardly any.
    pub async fn stage<R>(
        &self,
        name: &'static str,
        least: Duration,
        work: impl Future<Output = R>,
    ) -> Option<R> {
        let began = self.clock.monotonic();
        let result = tokio::time::timeout(self.left(least), work).await.ok();
        let took = self.clock.monotonic().saturating_sub(began);
        match result {
            Some(_) => info!(self.logger, "stage done"; "stage" => name, "took_ms" => took.as_millis()),
            None => warn!(self.logger, "stage cut short"; "stage" => name, "took_ms" => took.as_millis()),
        }
        result
    }
}
