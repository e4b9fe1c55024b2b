//! A bound on log lines that clients can cause without an account.
//!
//! A flood of requests or connections must not become a flood of log lines. A window of time has so many lines; what does
//! not fit is counted, and the next line that is written says how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So many lines in each window.
#[derive(Debug)]
pub(super) struct LineLimit {
    window: Duration,
    most: u32,
    state: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// When it began, on the monotonic clock; `None` before the first line.
    began: Option<Duration>,
    written: u32,
    omitted: u64,
}

impl LineLimit {
    /// `most` lines in each `window`.
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { window, most, state: Mutex::default() }
    }

    /// Counts a line at `now`. `Some` when it may be written: how many were omitted since the last one.
    pub(super) fn admit(&self, now: Duration) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.began.is_none_or(|began| now.saturating_sub(began) >= self.window) {
            (state.began, state.written) = (Some(now), 0);
        }
        if state.written >= self.most {
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
    fn a_window_has_so_many_lines_and_the_next_one_tells_of_the_rest() {
        let limit = LineLimit::new(2, Duration::from_secs(1));
        let admitted: Vec<_> = [5_000, 5_100, 5_200, 5_999, 6_000, 6_001]
            .map(|ms| limit.admit(Duration::from_millis(ms)))
            .to_vec();
        assert_eq!(admitted, [Some(0), Some(0), None, None, Some(2), Some(0)]);
    }
}
