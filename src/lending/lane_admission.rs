//! How many jobs of a country's lane a worker claims while the bureau is unavailable.
//!
//! With `when_open = "pause"`, a country's jobs stay in the queue while its breaker is open or half-open. The pause begins
//! after `pause_after_ms`, or immediately if an operator forces the breaker open. Only calls can show that the bureau has
//! recovered. Therefore one job is admitted whenever a probe is due.
//!
//! The admission limits claims, not calls. A job that was claimed earlier may still find the breaker open. It is snoozed
//! instead of decided with fallback figures (`crate::lending::process`).

use std::time::Duration;

use crate::config::{ProviderSettings, WhenOpen};
use crate::resilience::circuit_breaker::CircuitMode;
use crate::resilience::circuit_breaker::{Snapshot, State};

/// Which jobs of a lane may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneAdmission {
    /// All jobs.
    Everything,
    /// One job, as a probe.
    OneProbe,
    /// No jobs.
    Nothing,
}

impl LaneAdmission {
    /// The admission for a country's lane, given the state of its breaker.
    pub fn of(settings: &ProviderSettings, breaker: &Snapshot) -> Self {
        match settings.when_open {
            WhenOpen::Fallback => Self::Everything,
            WhenOpen::Pause if breaker.state == State::Closed => Self::Everything,
            WhenOpen::Pause if breaker.mode == CircuitMode::ForcedOpen => Self::Nothing,
            WhenOpen::Pause if breaker.not_closed_for < Duration::from_millis(settings.pause_after_ms) => {
                Self::Everything
            }
            WhenOpen::Pause if breaker.is_ready_for_probe() => Self::OneProbe,
            WhenOpen::Pause => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::domain::application::Country;

    fn settings(when_open: &str) -> ProviderSettings {
        let variables =
            [("AVAL__PROVIDERS__ES__WHEN_OPEN", when_open), ("AVAL__PROVIDERS__ES__PAUSE_AFTER_MS", "1000")];
        let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Settings::from_variables(&variables.into_iter().collect()).unwrap().providers.of(Country::Es)
    }

    fn snapshot(state: State, mode: CircuitMode, not_closed_ms: u64, retry_ms: u64) -> Snapshot {
        Snapshot {
            state,
            mode,
            not_closed_for: Duration::from_millis(not_closed_ms),
            consecutive_failures: 0,
            calls: 0,
            failures: 0,
            slow: 0,
            retry_in: Duration::from_millis(retry_ms),
            opened_count: 1,
        }
    }

    #[test]
    fn a_lane_is_limited_only_if_configured_and_only_after_pause_after_ms() {
        use CircuitMode::{Auto, ForcedClosed, ForcedOpen};
        use State::{Closed, HalfOpen, Open};
        for (breaker, expected) in [
            (snapshot(Closed, Auto, 0, 0), LaneAdmission::Everything),
            (snapshot(Closed, ForcedClosed, 0, 0), LaneAdmission::Everything),
            (snapshot(Open, Auto, 999, 500), LaneAdmission::Everything),
            (snapshot(Open, Auto, 1000, 500), LaneAdmission::Nothing),
            (snapshot(HalfOpen, Auto, 999, 0), LaneAdmission::Everything),
            (snapshot(HalfOpen, Auto, 5000, 0), LaneAdmission::OneProbe),
            (snapshot(HalfOpen, Auto, 5000, 200), LaneAdmission::Nothing),
            (snapshot(Open, ForcedOpen, 0, 500), LaneAdmission::Nothing),
        ] {
            assert_eq!(LaneAdmission::of(&settings("pause"), &breaker), expected, "{breaker:?}");
            assert_eq!(
                LaneAdmission::of(&settings("fallback"), &breaker),
                LaneAdmission::Everything,
                "{breaker:?}"
            );
        }
    }
}
