//! Counts over a sliding time window, in bounded memory.
//!
//! The window is divided into at most [`MAX_SLOTS`] slots, and counts expire with their slot. Memory is independent of
//! traffic, and every operation takes amortized constant time. The drawback is the granularity of one slot: an event
//! counts for at least the window less one slot, and at most for the whole window (rounded up to whole slots).

use std::collections::VecDeque;
use std::time::Duration;

/// The maximum number of slots in a window.
const MAX_SLOTS: u64 = 60;

/// `N` counters over a sliding window.
#[derive(Debug)]
pub(super) struct SlidingWindow<const N: usize> {
    slot_ms: u64,
    slots: u64,
    /// The newest slot comes first.
    counts: VecDeque<[u32; N]>,
    /// The number of the newest slot, counted from the clock's origin.
    newest: u64,
    totals: [u32; N],
}

impl<const N: usize> SlidingWindow<N> {
    /// Counters over the last `window_ms` milliseconds.
    pub(super) fn new(window_ms: u64) -> Self {
        let slot_ms = window_ms.div_ceil(MAX_SLOTS).max(1);
        let slots = window_ms.div_ceil(slot_ms).max(1);
        Self { slot_ms, slots, counts: VecDeque::new(), newest: 0, totals: [0; N] }
    }

    /// Adds to each counter at `now`.
    pub(super) fn add(&mut self, now: Duration, amounts: [u32; N]) {
        self.expire(now);
        if self.counts.is_empty() {
            self.counts.push_front([0; N]);
        }
        if let Some(slot) = self.counts.front_mut() {
            each(slot, amounts, u32::saturating_add);
        }
        each(&mut self.totals, amounts, u32::saturating_add);
    }

    /// The totals of the window at `now`.
    pub(super) fn totals(&mut self, now: Duration) -> [u32; N] {
        self.expire(now);
        self.totals
    }

    /// Moves the window to `now` and subtracts the counts of expired slots.
    fn expire(&mut self, now: Duration) {
        let current = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) / self.slot_ms;
        for _ in 0..current.saturating_sub(self.newest).min(self.slots) {
            self.counts.push_front([0; N]);
        }
        self.newest = self.newest.max(current);
        while u64::try_from(self.counts.len()).is_ok_and(|held| held > self.slots) {
            if let Some(left) = self.counts.pop_back() {
                each(&mut self.totals, left, u32::saturating_sub);
            }
        }
    }
}

fn each<const N: usize>(counters: &mut [u32; N], amounts: [u32; N], step: fn(u32, u32) -> u32) {
    for (counter, amount) in counters.iter_mut().zip(amounts) {
        *counter = step(*counter, amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_count_expires_with_its_slot() {
        let mut counts = SlidingWindow::<2>::new(60_000);
        counts.add(Duration::from_millis(999), [1, 0]);
        counts.add(Duration::from_millis(1_000), [1, 1]);
        assert_eq!(counts.totals(Duration::from_millis(59_999)), [2, 1]);
        assert_eq!(counts.totals(Duration::from_millis(60_000)), [1, 1]);
        assert_eq!(counts.totals(Duration::from_millis(61_000)), [0, 0]);
    }

    proptest! {
        #[test]
        fn totals_match_a_full_log_and_memory_stays_bounded(
            window_ms in 1_u64..500,
            steps in prop::collection::vec((0_u64..80, 0_u32..5), 1..120),
        ) {
            let mut counts = SlidingWindow::<1>::new(window_ms);
            let slot_ms = window_ms.div_ceil(60);
            let mut log = Vec::new();
            let mut now = 0;
            for (by, amount) in steps {
                now += by;
                counts.add(Duration::from_millis(now), [amount]);
                log.push((now, amount));
                let oldest_slot = (now / slot_ms + 1).saturating_sub(window_ms.div_ceil(slot_ms));
                let expected: u32 = log.iter().filter(|(at, _)| at / slot_ms >= oldest_slot).map(|(_, n)| n).sum();
                prop_assert_eq!(counts.totals(Duration::from_millis(now)), [expected]);
                prop_assert!(counts.counts.len() <= 60);
            }
        }
    }
}
