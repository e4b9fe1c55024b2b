//! Ordered shutdown. Each stage has a time limit and is logged with its duration.
//!
//! Readiness fails first, which stops new traffic. Then requests in flight finish, WebSocket clients are disconnected
//! (close code 1001), the scheduler stops claiming jobs, running jobs finish or are snoozed without using an attempt,
//! event consumers release their partitions, the outbox is published, and finally actors and the database stop. A stage
//! that exceeds its time limit is safe to abort: leases expire, events stay in the outbox, transactions roll back.

use std::future::Future;
use std::time::Duration;

use slog::{Logger, info, warn};

use crate::clock::Clock;

/// A shutdown in progress, and the time limit that its stages share.
pub struct Shutdown {
    clock: Clock,
    logger: Logger,
    started: Duration,
    deadline: Duration,
}

impl Shutdown {
    /// Starts a shutdown that may take `deadline` in total.
    pub fn begin(clock: &Clock, logger: &Logger, deadline: Duration) -> Self {
        let logger = logger.new(slog::o!("logger" => "shutdown"));
        info!(logger, "stopping"; "deadline_ms" => deadline.as_millis());
        Self { clock: clock.clone(), logger, started: clock.monotonic(), deadline }
    }

    /// The remaining time, but at least `min_time`, so that essential stages can run even after the deadline.
    pub fn left(&self, min_time: Duration) -> Duration {
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        self.deadline.saturating_sub(elapsed).max(min_time)
    }

    /// Runs a stage within the remaining time, but at least `min_time`. Returns `None` if the stage was aborted.
    pub async fn stage<R>(
        &self,
        name: &'static str,
        min_time: Duration,
        work: impl Future<Output = R>,
    ) -> Option<R> {
        let began = self.clock.monotonic();
        let result = tokio::time::timeout(self.left(min_time), work).await.ok();
        let took = self.clock.monotonic().saturating_sub(began);
        match result {
            Some(_) => {
                info!(self.logger, "shutdown stage finished"; "stage" => name, "took_ms" => took.as_millis())
            }
            None => {
                warn!(self.logger, "shutdown stage timed out"; "stage" => name, "took_ms" => took.as_millis())
            }
        }
        result
    }
}
