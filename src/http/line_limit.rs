//! A limit on log lines that unauthenticated clients can cause.
//!
//! A flood of requests or connections must not cause a flood of log lines. Each time window allows a fixed number of
//! lines; the rest are counted, and the next written line includes the number of omitted lines.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A fixed number of lines per window.
#[derive(Debug)]
pub(super) struct LineLimit {
    window: Duration,
    max_lines: u32,
    state: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// Start of the window on the monotonic clock; `None` before the first line.
    began: Option<Duration>,
    written: u32,
    omitted: u64,
}

impl LineLimit {
    /// Allows `max_lines` lines per `window`.
    pub(super) fn new(max_lines: u32, window: Duration) -> Self {
        Self { window, max_lines, state: Mutex::default() }
    }

    /// Counts a line at `now`. `Some` if it may be written, with the number of lines omitted since the last one.
    pub(super) fn admit(&self, now: Duration) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.began.is_none_or(|began| now.saturating_sub(began) >= self.window) {
            (state.began, state.written) = (Some(now), 0);
        }
        if state.written >= self.max_lines {
            state.omitted = state.omitted.saturating_add(1);
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.omitted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_allows_a_fixed_number_of_lines_and_the_next_one_reports_the_omitted_ones() {
        let limit = LineLimit::new(2, Duration::from_secs(1));
        let admitted: Vec<_> = [5_000, 5_100, 5_200, 5_999, 6_000, 6_001]
            .map(|ms| limit.admit(Duration::from_millis(ms)))
            .to_vec();
        assert_eq!(admitted, [Some(0), Some(0), None, None, Some(2), Some(0)]);
    }
}
