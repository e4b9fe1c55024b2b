//! The circuit breaker (docs/specification.md, section 4): a pure state machine without clock, randomness or I/O.
//!
//! Every method takes the current time (`Clock::monotonic`) and a random number (`Clock::percent_roll`), which
//! varies the open time. The state only advances in these calls, but it does not depend on how often they are made: an open
//! time ends and a probe expires at its own time, not at the time of the next call.
//!
//! ```text
//!              too many failures, too many slow calls
//!     CLOSED ────────────────────────────────────────→ OPEN ←──────────────────┐
//!        ↑                                              │ open time is over     │ the probe fails
//!        └───────────── the probe succeeds ──── HALF-OPEN (one permit) ─────────┘ or expires
//! ```
//!
//! Operators can override it ([`CircuitBreaker::set_mode`]). Forced open, it refuses every call. Forced closed, it admits
//! every call and counts results without opening. When an override ends, the breaker starts closed with fresh counts.
//!
//! Each transition starts a new generation. A [`Permit`] belongs to the generation that issued it, and a result for a permit
//! of an earlier generation has no effect: the result of a call that hung for ten seconds does not show whether the bureau is
//! available now.

mod mode;
mod state;

use std::time::Duration;

pub use self::mode::CircuitMode;
pub use self::state::{Cause, Snapshot, State, Transition};
use super::sliding_window::SlidingWindow;
use crate::config::BreakerSettings;

/// Permission for one attempt. It must be returned with [`CircuitBreaker::record`] or [`CircuitBreaker::release`]. If a
/// half-open breaker does not get its permit back, the permit expires.
#[derive(Debug)]
#[must_use = "a permit that is not returned keeps a half-open breaker waiting until it expires"]
pub struct Permit {
    generation: u64,
    issued_at: Duration,
}

/// The result of requesting a permit.
#[derive(Debug)]
pub enum Admission {
    Admitted(Permit),
    Refused {
        /// The minimum time until another request may be admitted.
        retry_in: Duration,
    },
}

/// Whether an attempt shows that the bureau is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// The bureau responded.
    Success,
    /// The bureau did not respond, or its response was invalid.
    Failure,
}

/// Counts of calls, failures and slow calls.
type Window = SlidingWindow<3>;

#[derive(Debug)]
enum Phase {
    Closed {
        consecutive_failures: u32,
        window: Window,
    },
    Open {
        until: Duration,
    },
    HalfOpen {
        /// When the issued permit expires; `None` if none is issued.
        expires: Option<Duration>,
    },
}

impl Phase {
    const fn state(&self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
        }
    }
}

/// The breaker of one bureau.
#[derive(Debug)]
pub struct CircuitBreaker {
    settings: BreakerSettings,
    mode: CircuitMode,
    phase: Phase,
    /// When the breaker left the closed state.
    not_closed_since: Option<Duration>,
    generation: u64,
    /// The number of times that the breaker has opened since a success last closed it.
    openings_in_a_row: u32,
    opened_count: u64,
    /// Transitions that [`CircuitBreaker::take_transitions`] has not returned yet.
    transitions: Vec<Transition>,
}

impl CircuitBreaker {
    pub fn new(settings: BreakerSettings) -> Self {
        let phase = closed(&settings);
        Self {
            settings,
            mode: CircuitMode::Auto,
            phase,
            not_closed_since: None,
            generation: 0,
            openings_in_a_row: 0,
            opened_count: 0,
            transitions: Vec::new(),
        }
    }

    /// Sets the mode that an operator requested. Setting the current mode has no effect. Every other change starts a
    /// new generation, so results of calls that were admitted earlier do not count.
    pub fn set_mode(&mut self, mode: CircuitMode, now: Duration, roll: u8) {
        self.advance(now, roll);
        if mode == self.mode {
            return;
        }
        self.mode = mode;
        self.openings_in_a_row = 0;
        match mode {
            CircuitMode::Auto => self.enter(closed(&self.settings), now, Cause::GivenBack, None),
            CircuitMode::ForcedClosed => self.enter(closed(&self.settings), now, Cause::Forced, None),
            CircuitMode::ForcedOpen => {
                self.enter(Phase::Open { until: Duration::MAX }, now, Cause::Forced, None);
            }
        }
    }

    pub fn mode(&self) -> CircuitMode {
        self.mode
    }

    /// Requests a permit for one attempt. Each retry needs its own permit.
    pub fn admit(&mut self, now: Duration, roll: u8) -> Admission {
        self.advance(now, roll);
        let wait = self.retry_in(now);
        if !wait.is_zero() {
            return Admission::Refused { retry_in: wait };
        }
        if let Phase::HalfOpen { expires } = &mut self.phase {
            *expires = Some(now + Duration::from_millis(self.settings.probe_timeout_ms.max(1)));
        }
        Admission::Admitted(Permit { generation: self.generation, issued_at: now })
    }

    /// Returns a permit with the result of the attempt. An attempt that took longer than `slow_call_ms` since its
    /// permit was issued counts as slow, whatever its result.
    pub fn record(&mut self, permit: Permit, now: Duration, result: CallResult, roll: u8) {
        self.advance(now, roll);
        if permit.generation != self.generation {
            return;
        }
        let failed = result == CallResult::Failure;
        match &mut self.phase {
            Phase::Closed { consecutive_failures, window } => {
                let took = now.saturating_sub(permit.issued_at);
                let slow = took > Duration::from_millis(self.settings.slow_call_ms);
                window.add(now, [1, u32::from(failed), u32::from(slow)]);
                *consecutive_failures = if failed { consecutive_failures.saturating_add(1) } else { 0 };
                let cause = reason_to_open(&self.settings, *consecutive_failures, window.totals(now));
                if let Some(cause) = cause.filter(|_| self.mode == CircuitMode::Auto) {
                    self.open(now, roll, cause);
                }
            }
            Phase::HalfOpen { .. } if failed => self.open(now, roll, Cause::ProbeFailed),
            Phase::HalfOpen { .. } => {
                self.openings_in_a_row = 0;
                self.enter(closed(&self.settings), now, Cause::ProbeSucceeded, None);
            }
            Phase::Open { .. } => {}
        }
    }

    /// Returns a permit without a result, because the attempt was not made or was inconclusive.
    pub fn release(&mut self, permit: Permit, now: Duration, roll: u8) {
        self.advance(now, roll);
        if let Phase::HalfOpen { expires } = &mut self.phase
            && permit.generation == self.generation
        {
            *expires = None;
        }
    }

    /// The state at `now`.
    pub fn state(&mut self, now: Duration, roll: u8) -> State {
        self.advance(now, roll);
        self.phase.state()
    }

    /// The state and counts at `now`.
    pub fn snapshot(&mut self, now: Duration, roll: u8) -> Snapshot {
        self.advance(now, roll);
        let (consecutive_failures, [calls, failures, slow]) = match &mut self.phase {
            Phase::Closed { consecutive_failures, window } => (*consecutive_failures, window.totals(now)),
            Phase::Open { .. } | Phase::HalfOpen { .. } => (0, [0; 3]),
        };
        Snapshot {
            state: self.phase.state(),
            mode: self.mode,
            not_closed_for: self.not_closed_since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            consecutive_failures,
            calls,
            failures,
            slow,
            retry_in: self.retry_in(now),
            opened_count: self.opened_count,
        }
    }

    /// The transitions since the last call, oldest first. The owner must take them after each of the other calls.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// Advances the state to `now`. A probe that expired opens the breaker at the time of its expiry, so one call may
    /// cause two transitions.
    fn advance(&mut self, now: Duration, roll: u8) {
        if let Phase::HalfOpen { expires: Some(at) } = self.phase
            && now >= at
        {
            self.open(at, roll, Cause::ProbeExpired);
        }
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            self.enter(Phase::HalfOpen { expires: None }, until, Cause::OpenTimeOver, None);
        }
    }

    fn retry_in(&self, now: Duration) -> Duration {
        match self.phase {
            Phase::Closed { .. } | Phase::HalfOpen { expires: None } => Duration::ZERO,
            Phase::Open { until: at } | Phase::HalfOpen { expires: Some(at) } => at.saturating_sub(now),
        }
    }

    fn open(&mut self, at: Duration, roll: u8, cause: Cause) {
        self.openings_in_a_row = self.openings_in_a_row.saturating_add(1);
        self.opened_count += 1;
        let open_for = open_time(&self.settings, self.openings_in_a_row, roll);
        self.enter(Phase::Open { until: at + open_for }, at, cause, Some(open_for));
    }

    fn enter(&mut self, phase: Phase, at: Duration, cause: Cause, open_for: Option<Duration>) {
        let (from, to) = (self.phase.state(), phase.state());
        let failures = match &mut self.phase {
            Phase::Closed { window, .. } => window.totals(at)[1],
            Phase::HalfOpen { .. } => u32::from(matches!(cause, Cause::ProbeFailed | Cause::ProbeExpired)),
            Phase::Open { .. } => 0,
        };
        self.phase = phase;
        self.generation += 1;
        self.not_closed_since = match to {
            State::Closed => None,
            State::Open | State::HalfOpen => self.not_closed_since.or(Some(at)),
        };
        if from == to {
            return;
        }
        self.transitions.push(Transition { from, to, cause, at, open_for, failures });
    }
}

fn closed(settings: &BreakerSettings) -> Phase {
    Phase::Closed { consecutive_failures: 0, window: Window::new(settings.window_ms) }
}

fn reason_to_open(
    settings: &BreakerSettings,
    consecutive: u32,
    [calls, failures, slow]: [u32; 3],
) -> Option<Cause> {
    let reaches = |part: u32, percent: u32| u64::from(part) * 100 >= u64::from(calls) * u64::from(percent);
    let has_enough_calls = calls >= settings.min_calls;
    if consecutive >= settings.consecutive_failures {
        Some(Cause::ConsecutiveFailures)
    } else if has_enough_calls && reaches(failures, settings.failure_rate_percent) {
        Some(Cause::FailureRate)
    } else if has_enough_calls && reaches(slow, settings.slow_rate_percent) {
        Some(Cause::SlowRate)
    } else {
        None
    }
}

/// `open_ms`, doubled with each consecutive opening up to `open_max_ms`, plus or minus up to `open_jitter_percent`: a
/// roll of 0 gives the shortest time, 99 the longest. The jitter also applies at the maximum, so instances that have
/// reached it do not probe simultaneously. Never zero.
fn open_time(settings: &BreakerSettings, opening: u32, roll: u8) -> Duration {
    let doubled = 2_u64.saturating_pow(opening.saturating_sub(1)).saturating_mul(settings.open_ms);
    let base = doubled.min(settings.open_max_ms);
    let deviation = base.saturating_mul(u64::from(settings.open_jitter_percent)) / 100;
    let drawn = deviation.saturating_mul(2).saturating_mul(u64::from(roll.min(99))) / 99;
    Duration::from_millis((base - deviation.min(base)).saturating_add(drawn).max(1))
}

#[cfg(test)]
mod tests;
