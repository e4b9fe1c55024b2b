//! Faults injected into the simulated bureaus, by an operator or a test.
//!
//! Faults override the normal responses of a country's bureau. Whether a call fails is determined when it arrives, so
//! `fail_next = 3` applies to the next three calls that arrive, however long their responses take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::application::Country;

/// The maximum latency, which exceeds every client's timeout.
pub const MAX_LATENCY: Duration = Duration::from_secs(600);

/// The injected faults of one country's bureau.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Faults {
    /// The number of calls that fail with 503, beginning with the next one.
    pub fail_next: u32,
    /// Additional latency of every response in milliseconds, up to [`MAX_LATENCY`].
    pub latency_ms: u64,
    /// Percentage of calls that fail with 500, chosen at random.
    pub error_rate_percent: u8,
    /// Whether reports are truncated.
    pub malformed: bool,
    /// Delay of an asynchronous report in milliseconds, up to [`MAX_LATENCY`].
    pub callback_delay_ms: u64,
}

/// A change of [`Faults`]. Absent members keep their value.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultChange {
    /// See [`Faults::fail_next`].
    pub fail_next: Option<u32>,
    /// See [`Faults::latency_ms`].
    pub latency_ms: Option<u64>,
    /// See [`Faults::error_rate_percent`].
    pub error_rate_percent: Option<u8>,
    /// See [`Faults::malformed`].
    pub malformed: Option<bool>,
    /// See [`Faults::callback_delay_ms`].
    pub callback_delay_ms: Option<u64>,
}

/// The fault applied to one request, apart from latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Injected {
    /// The call is one of the next `fail_next` calls.
    Down,
    /// The call was selected by the error rate.
    Error,
    /// The report is truncated.
    Malformed,
}

/// The faults of all countries. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Script {
    faults: Arc<Mutex<BTreeMap<Country, Faults>>>,
}

impl Script {
    /// Makes the next `calls` calls fail with 503.
    pub fn fail_next(&self, country: Country, calls: u32) {
        self.change(country, |faults| faults.fail_next = calls);
    }

    /// Sets the additional latency of every response, up to [`MAX_LATENCY`].
    pub fn set_latency(&self, country: Country, latency: Duration) {
        let latency_ms = u64::try_from(latency.min(MAX_LATENCY).as_millis()).unwrap_or(u64::MAX);
        self.change(country, |faults| faults.latency_ms = latency_ms);
    }

    /// Sets the delay of asynchronous reports, up to [`MAX_LATENCY`].
    pub fn set_callback_delay(&self, country: Country, delay: Duration) {
        let delay_ms = u64::try_from(delay.min(MAX_LATENCY).as_millis()).unwrap_or(u64::MAX);
        self.change(country, |faults| faults.callback_delay_ms = delay_ms);
    }

    /// Sets the percentage of calls that fail with 500, up to 100.
    pub fn set_error_rate(&self, country: Country, percent: u8) {
        self.change(country, |faults| faults.error_rate_percent = percent.min(100));
    }

    /// Sets whether reports are truncated.
    pub fn set_malformed(&self, country: Country, malformed: bool) {
        self.change(country, |faults| faults.malformed = malformed);
    }

    /// Removes all faults of `country`.
    pub fn reset(&self, country: Country) {
        self.change(country, |faults| *faults = Faults::default());
    }

    /// Removes all faults.
    pub fn reset_all(&self) {
        self.lock().clear();
    }

    /// The current faults of `country`.
    pub fn faults(&self, country: Country) -> Faults {
        self.lock().get(&country).copied().unwrap_or_default()
    }

    /// Applies `change` and returns the resulting faults.
    ///
    /// # Errors
    /// A sentence for the operator if a value is out of range; nothing is changed.
    pub fn apply(&self, country: Country, change: FaultChange) -> Result<Faults, &'static str> {
        if change.error_rate_percent.is_some_and(|percent| percent > 100) {
            return Err("error_rate_percent must be 0 to 100");
        }
        if change.latency_ms.is_some_and(|ms| u128::from(ms) > MAX_LATENCY.as_millis()) {
            return Err("latency_ms must be 0 to 600000");
        }
        if change.callback_delay_ms.is_some_and(|ms| u128::from(ms) > MAX_LATENCY.as_millis()) {
            return Err("callback_delay_ms must be 0 to 600000");
        }
        Ok(self.change(country, |faults| {
            faults.fail_next = change.fail_next.unwrap_or(faults.fail_next);
            faults.latency_ms = change.latency_ms.unwrap_or(faults.latency_ms);
            faults.error_rate_percent = change.error_rate_percent.unwrap_or(faults.error_rate_percent);
            faults.malformed = change.malformed.unwrap_or(faults.malformed);
            faults.callback_delay_ms = change.callback_delay_ms.unwrap_or(faults.callback_delay_ms);
        }))
    }

    /// The fault and latency for a call that has just arrived. `roll` is a uniform draw from 0 to 99.
    pub(super) fn next_fault(&self, country: Country, roll: u8) -> (Option<Injected>, Duration) {
        let mut all = self.lock();
        let faults = all.entry(country).or_default();
        let latency = Duration::from_millis(faults.latency_ms);
        let injected = if faults.fail_next > 0 {
            faults.fail_next -= 1;
            Some(Injected::Down)
        } else if roll < faults.error_rate_percent {
            Some(Injected::Error)
        } else {
            faults.malformed.then_some(Injected::Malformed)
        };
        (injected, latency)
    }

    fn change(&self, country: Country, edit: impl FnOnce(&mut Faults)) -> Faults {
        let mut all = self.lock();
        let faults = all.entry(country).or_default();
        edit(faults);
        *faults
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Country, Faults>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_calls_fail() {
        let script = Script::default();
        script.fail_next(Country::Es, 2);
        let injected: Vec<_> = (0..3).map(|_| script.next_fault(Country::Es, 0).0).collect();
        assert_eq!(injected, [Some(Injected::Down), Some(Injected::Down), None]);
        assert_eq!(script.next_fault(Country::Mx, 0), (None, Duration::ZERO));
    }

    #[test]
    fn the_error_rate_selects_a_share_of_the_calls() {
        let script = Script::default();
        for (rate, expected) in [(0, 0), (30, 30), (100, 100), (255, 100)] {
            script.set_error_rate(Country::It, rate);
            let hit = (0..100)
                .filter(|roll| script.next_fault(Country::It, *roll).0 == Some(Injected::Error))
                .count();
            assert_eq!(hit, expected);
        }
    }

    #[test]
    fn a_change_affects_only_its_members_and_an_invalid_change_affects_nothing() {
        let script = Script::default();
        script.set_latency(Country::Br, Duration::from_secs(3600));
        let change = FaultChange { malformed: Some(true), ..FaultChange::default() };
        let faults = script.apply(Country::Br, change).unwrap();
        assert_eq!(faults, Faults { latency_ms: 600_000, malformed: true, ..Faults::default() });
        for bad in [
            FaultChange { error_rate_percent: Some(101), fail_next: Some(9), ..FaultChange::default() },
            FaultChange { latency_ms: Some(600_001), fail_next: Some(9), ..FaultChange::default() },
            FaultChange { callback_delay_ms: Some(600_001), fail_next: Some(9), ..FaultChange::default() },
        ] {
            assert!(script.apply(Country::Br, bad).is_err());
            assert_eq!(script.faults(Country::Br), faults);
        }
        script.reset(Country::Br);
        assert_eq!(script.faults(Country::Br), Faults::default());
    }
}
