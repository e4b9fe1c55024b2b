//! The circuit breaker (docs/specification.md 4): a pure state machine without clock, randomness or I/O.
//!
//! Every method is told what time it is (`Clock::monotonic`) and is handed a die roll (`Clock::percent_roll`) for the
//! case that it has to draw an open time. Time passes for the breaker only in these calls, but what it decides does not
//! depend on how often it is asked: an open time ends and a probe expires when they do, not when somebody looks.
//!
//! ```text
//!              too many failures, too many slow calls
//!     CLOSED ────────────────────────────────────────→ OPEN ←──────────────────┐
//!        ↑                                              │ open time is over     │ the probe fails
//!        └───────────── the probe succeeds ──── HALF-OPEN (one permit) ─────────┘ or expires
//! ```
//!
//! Operators may force it either way ([`CircuitBreaker::set_mode`]): forced open it refuses every call until it is given back,
//! forced closed it lets every call through, counts what comes of it, and does not open over it. Given back, it starts closed
//! and counts anew.
//!
//! Each transition starts a new generation. A [`Permit`] belongs to the generation that gave it out, and an answer to a
//! permit of an earlier one changes nothing: a call that hung for ten seconds says nothing about the bureau of now.

mod mode;
mod standing;

use std::time::Duration;

pub use self::mode::CircuitMode;
pub use self::standing::{Cause, Snapshot, State, Transition};
use super::sliding_window::SlidingWindow;
use crate::config::BreakerSettings;

/// Leave to make one attempt. It is given back by [`CircuitBreaker::record`] or [`CircuitBreaker::release`]; one that is
/// lost in the half-open state expires.
#[derive(Debug)]
#[must_use = "a permit that is not given back keeps a half-open breaker waiting until it expires"]
pub struct Permit {
    generation: u64,
    issued_at: Duration,
}

/// The answer to whether a call may be made.
#[derive(Debug)]
pub enum Admission {
    /// It may.
    Admitted(Permit),
    /// It may not.
    Refused {
        /// When asking again is worth it, at the earliest.
        retry_in: Duration,
    },
}

/// What an attempt said about the bureau's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// The bureau answered.
    Success,
    /// It did not, or with nonsense.
    Failure,
}

/// Calls, failures, slow calls.
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
        /// When the permit that is out expires; `None` when none is.
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
    /// When it left the closed state.
    not_closed_since: Option<Duration>,
    generation: u64,
    /// Openings since the last success that closed it.
    openings_in_a_row: u32,
    opened_count: u64,
    /// Transitions that [`CircuitBreaker::take_transitions`] has not handed out yet.
    transitions: Vec<Transition>,
}

impl CircuitBreaker {
    /// A closed breaker.
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

    /// Follows an operator. Asking for the mode that it has changes nothing; every other change starts a generation, so that
    /// calls that were let in before say nothing about what comes after.
    pub fn set_mode(&mut self, mode: CircuitMode, now: Duration, roll: u8) {
        self.settle(now, roll);
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

    /// Who decides what it does with calls.
    pub fn mode(&self) -> CircuitMode {
        self.mode
    }

    /// Asks for leave to make one attempt. Each retry is an attempt of its own.
    pub fn admit(&mut self, now: Duration, roll: u8) -> Admission {
        self.settle(now, roll);
        let wait = self.retry_in(now);
        if !wait.is_zero() {
            return Admission::Refused { retry_in: wait };
        }
        if let Phase::HalfOpen { expires } = &mut self.phase {
            *expires = Some(now + Duration::from_millis(self.settings.probe_timeout_ms.max(1)));
        }
        Admission::Admitted(Permit { generation: self.generation, issued_at: now })
    }

    /// Gives a permit back with what the attempt showed. An attempt that took longer than `slow_call_ms` since its
    /// permit was issued counts as slow, whatever its result.
    pub fn record(&mut self, permit: Permit, now: Duration, result: CallResult, roll: u8) {
        self.settle(now, roll);
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

    /// Gives a permit back without a result: the attempt was never made, or ended without telling anything.
    pub fn release(&mut self, permit: Permit, now: Duration, roll: u8) {
        self.settle(now, roll);
        if let Phase::HalfOpen { expires } = &mut self.phase
            && permit.generation == self.generation
        {
            *expires = None;
        }
    }

    /// What it does with calls at `now`.
    pub fn state(&mut self, now: Duration, roll: u8) -> State {
        self.settle(now, roll);
        self.phase.state()
    }

    /// How it stands at `now`.
    pub fn snapshot(&mut self, now: Duration, roll: u8) -> Snapshot {
        self.settle(now, roll);
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

    /// The transitions since the last time, oldest first. Whoever owns the breaker takes them after each step.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// Lets time take its course up to `now`. A probe that expires re-opens the breaker at the moment of its expiry,
    /// so one call may take two steps.
    fn settle(&mut self, now: Duration, roll: u8) {
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
        self.phase = phase;
        self.generation += 1;
        self.not_closed_since = match to {
            State::Closed => None,
            State::Open | State::HalfOpen => self.not_closed_since.or(Some(at)),
        };
        if from == to {
            return;
        }
        self.transitions.push(Transition { from, to, cause, at, open_for });
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
    let rates_count = calls >= settings.min_calls;
    if consecutive >= settings.consecutive_failures {
        Some(Cause::ConsecutiveFailures)
    } else if rates_count && reaches(failures, settings.failure_rate_percent) {
        Some(Cause::FailureRate)
    } else if rates_count && reaches(slow, settings.slow_rate_percent) {
        Some(Cause::SlowRate)
    } else {
        None
    }
}

/// `open_ms`, doubled with each opening after the first up to `open_max_ms`, then moved by up to `open_jitter_percent`
/// either way: a roll of 0 gives the shortest time, 99 the longest. The jitter goes on top of the maximum, so that
/// instances that have all reached it do not probe in step either. Never zero.
fn open_time(settings: &BreakerSettings, opening: u32, roll: u8) -> Duration {
    let doubled = 2_u64.saturating_pow(opening.saturating_sub(1)).saturating_mul(settings.open_ms);
    let base = doubled.min(settings.open_max_ms);
    let deviation = base.saturating_mul(u64::from(settings.open_jitter_percent)) / 100;
    let drawn = deviation.saturating_mul(2).saturating_mul(u64::from(roll.min(99))) / 99;
    Duration::from_millis((base - deviation.min(base)).saturating_add(drawn).max(1))
}

#[cfg(test)]
mod tests;
