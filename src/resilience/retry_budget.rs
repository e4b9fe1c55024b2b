//! The retry budget (docs/specification.md, section 4): limits the retries of the last minute to a share of the calls,
//! with a minimum.
//!
//! Without it, retries would multiply the calls to a bureau just when it fails and can handle fewer. The minimum allows
//! retries where calls are rare.

use std::time::Duration;

use crate::config::CallSettings;
use crate::resilience::sliding_window::SlidingWindow;

const WINDOW_MS: u64 = 60_000;

/// The retry budget of one country.
pub struct RetryBudget {
    percent: u32,
    minimum: u32,
    /// First attempts and retries.
    counts: SlidingWindow<2>,
}

impl RetryBudget {
    /// A budget without calls.
    pub fn new(settings: &CallSettings) -> Self {
        Self {
            percent: settings.retry_budget_percent,
            minimum: settings.retry_budget_min_per_minute,
            counts: SlidingWindow::new(WINDOW_MS),
        }
    }

    /// Counts a first attempt.
    pub fn count_call(&mut self, now: Duration) {
        self.counts.add(now, [1, 0]);
    }

    /// Takes one retry from the budget; `false` if none is left.
    pub fn take(&mut self, now: Duration) -> bool {
        let [calls, retries] = self.counts.totals(now);
        let share = u64::from(calls) * u64::from(self.percent) / 100;
        let left = u64::from(retries) < share.max(u64::from(self.minimum));
        if left {
            self.counts.add(now, [0, 1]);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(percent: u32, minimum: u32) -> RetryBudget {
        RetryBudget { percent, minimum, counts: SlidingWindow::new(WINDOW_MS) }
    }

    fn taken(budget: &mut RetryBudget, now: Duration) -> usize {
        (0..1_000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn it_grants_a_share_of_the_calls_but_at_least_the_minimum() {
        for (calls, expected) in [(0, 10), (50, 10), (54, 10), (55, 11), (200, 40)] {
            let mut budget = budget(20, 10);
            for _ in 0..calls {
                budget.count_call(Duration::ZERO);
            }
            assert_eq!(taken(&mut budget, Duration::ZERO), expected, "{calls} calls");
        }
        assert_eq!(taken(&mut budget(20, 0), Duration::ZERO), 0);
    }

    #[test]
    fn it_is_full_again_after_a_minute() {
        let mut budget = budget(20, 3);
        assert_eq!(taken(&mut budget, Duration::from_secs(5)), 3);
        assert_eq!(taken(&mut budget, Duration::from_secs(64)), 0);
        assert_eq!(taken(&mut budget, Duration::from_secs(65)), 3);
    }
}
