//! The health of the loops that all work depends on: claiming jobs and publishing events.
//!
//! A database can respond and accept writes while the statements of these loops fail, for example after a schema change
//! that this version does not support. In that case the readiness check fails, which load balancers and operators can
//! detect. A single failure does not count, because the loops are retried within a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a loop must have failed without a success before it counts as failing.
const FAILING_AFTER: Duration = Duration::from_secs(10);
/// The value for a loop whose last round succeeded.
const NOT_FAILING: u64 = u64::MAX;

/// The loops of an instance.
#[derive(Debug, Default)]
pub struct WorkHealth {
    /// Claims of the scheduler.
    pub claiming: LoopHealth,
    /// Rounds of the outbox relay.
    pub publishing: LoopHealth,
}

impl WorkHealth {
    /// Whether no loop has been failing for ten seconds. `now` is monotonic time.
    pub fn is_healthy(&self, now: Duration) -> bool {
        !self.claiming.is_failing(now) && !self.publishing.is_failing(now)
    }
}

/// The health of one loop.
#[derive(Debug)]
pub struct LoopHealth {
    /// When it began to fail, in milliseconds of the monotonic clock.
    failing_since_ms: AtomicU64,
}

impl Default for LoopHealth {
    fn default() -> Self {
        Self { failing_since_ms: AtomicU64::new(NOT_FAILING) }
    }
}

impl LoopHealth {
    /// Records the result of a round.
    pub fn record(&self, succeeded: bool, now: Duration) {
        if succeeded {
            self.failing_since_ms.store(NOT_FAILING, Ordering::Relaxed);
        } else {
            self.failing_since_ms.fetch_min(milliseconds(now), Ordering::Relaxed);
        }
    }

    fn is_failing(&self, now: Duration) -> bool {
        let since = self.failing_since_ms.load(Ordering::Relaxed);
        since != NOT_FAILING && milliseconds(now).saturating_sub(since) >= milliseconds(FAILING_AFTER)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NOT_FAILING - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_fails_for_ten_seconds_is_failing_until_it_succeeds() {
        let health = WorkHealth::default();
        let at = Duration::from_secs;
        assert!(health.is_healthy(at(0)) && health.is_healthy(at(1000)));
        health.claiming.record(false, at(1000));
        health.claiming.record(false, at(1009));
        assert!(health.is_healthy(at(1009)) && !health.is_healthy(at(1010)));
        health.claiming.record(true, at(1011));
        assert!(health.is_healthy(at(1011)));
        health.publishing.record(false, at(1011));
        assert!(!health.is_healthy(at(1021)));
    }
}
