//! The circuit breaker for Redis: consecutive failures open it, and probes close it.
//!
//! It is simpler than a bureau's breaker. Every Redis command has a fallback, so this breaker may open after few failures.

use std::time::Duration;

/// Closed until `threshold` consecutive failures, then open until a command succeeds.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    open_for: Duration,
    failures: u32,
    /// While open, the time of the next probe.
    next_probe: Option<Duration>,
}

impl Breaker {
    pub(super) const fn new(threshold: u32, open_for: Duration) -> Self {
        Self { threshold, open_for, failures: 0, next_probe: None }
    }

    /// Whether a command may be sent. While open, one command per `open_for` is admitted as a probe. An abandoned probe
    /// does not block later ones.
    pub(super) fn admit(&mut self, now: Duration) -> bool {
        match self.next_probe {
            None => true,
            Some(at) if now >= at => {
                self.next_probe = Some(now + self.open_for);
                true
            }
            Some(_) => false,
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.next_probe = None;
    }

    pub(super) fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.threshold {
            self.next_probe = Some(now + self.open_for);
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.next_probe.is_some()
    }

    /// Whether the last command failed.
    pub(super) const fn last_failed(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(1);

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_consecutive_failures_open_the_breaker() {
        let mut breaker = Breaker::new(3, OPEN_FOR);
        for _ in 0..5 {
            breaker.failed(at(0));
            breaker.failed(at(0));
            assert!(breaker.admit(at(0)) && breaker.last_failed());
            breaker.succeeded();
            assert!(!breaker.last_failed());
        }
        (0..3).for_each(|_| breaker.failed(at(0)));
        assert!(breaker.is_open() && !breaker.admit(at(999)));
    }

    #[test]
    fn an_open_breaker_admits_one_probe_per_interval_and_a_success_closes_it() {
        let mut breaker = Breaker::new(1, OPEN_FOR);
        breaker.failed(at(0));
        assert!(breaker.admit(at(1000)) && !breaker.admit(at(1000)));
        breaker.failed(at(1100));
        assert!(!breaker.admit(at(2099)) && breaker.admit(at(2100)));
        assert!(breaker.admit(at(3100)), "the last probe was abandoned");
        breaker.succeeded();
        assert!(!breaker.is_open() && breaker.admit(at(3100)));
    }
}
