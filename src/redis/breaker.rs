//! The breaker in front of Redis: so many failures in a row open it, and then one command at a time tries whether Redis is
//! back.
//!
//! It is simpler than the breaker in front of a bureau: there is something to fall back on for every command, so it need
//! not be clever about when to open, only quick.

use std::time::Duration;

/// Closed until `threshold` failures in a row, then open until a command succeeds.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    open_for: Duration,
    failures: u32,
    /// When the next command may try, while open.
    closed_until_probe: Option<Duration>,
}

impl Breaker {
    pub(super) const fn new(threshold: u32, open_for: Duration) -> Self {
        Self { threshold, open_for, failures: 0, closed_until_probe: None }
    }

    /// Whether a command may be sent. While open that is one in `open_for`, whatever becomes of it: one whose sender went
    /// away blocks nobody.
    pub(super) fn admit(&mut self, now: Duration) -> bool {
        match self.closed_until_probe {
            None => true,
            Some(at) if now >= at => {
                self.closed_until_probe = Some(now + self.open_for);
                true
            }
            Some(_) => false,
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.closed_until_probe = None;
    }

    pub(super) fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.threshold {
            self.closed_until_probe = Some(now + self.open_for);
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.closed_until_probe.is_some()
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
    fn only_failures_in_a_row_open_it() {
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
    fn while_open_one_command_at_a_time_tries_and_the_first_answer_closes_it() {
        let mut breaker = Breaker::new(1, OPEN_FOR);
        breaker.failed(at(0));
        assert!(breaker.admit(at(1000)) && !breaker.admit(at(1000)));
        breaker.failed(at(1100));
        assert!(!breaker.admit(at(2099)) && breaker.admit(at(2100)));
        assert!(breaker.admit(at(3100)), "nobody heard of the last one");
        breaker.succeeded();
        assert!(!breaker.is_open() && breaker.admit(at(3100)));
    }
}
