//! The state and transitions of a breaker, with their names in logs, metrics and responses.

use std::time::Duration;

use super::mode::CircuitMode;

/// Whether a breaker admits calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// All calls are admitted.
    Closed,
    /// All calls are refused.
    Open,
    /// One call is admitted as a probe.
    HalfOpen,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The name in logs, metrics and responses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The value of the metric `provider_circuit_breaker_state` (docs/specification.md, section 12).
    pub const fn metric_value(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
        }
    }
}

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too many consecutive failures.
    ConsecutiveFailures,
    /// Too many failures among the calls in the window.
    FailureRate,
    /// Too many slow calls among the calls in the window.
    SlowRate,
    OpenTimeOver,
    ProbeSucceeded,
    ProbeFailed,
    /// The probe returned no result in time.
    ProbeExpired,
    /// An operator forced the breaker open or closed.
    Forced,
    /// An operator's override ended.
    GivenBack,
}

impl Cause {
    pub const ALL: [Self; 9] = [
        Self::ConsecutiveFailures,
        Self::FailureRate,
        Self::SlowRate,
        Self::OpenTimeOver,
        Self::ProbeSucceeded,
        Self::ProbeFailed,
        Self::ProbeExpired,
        Self::Forced,
        Self::GivenBack,
    ];

    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::SlowRate => "slow_rate",
            Self::OpenTimeOver => "open_time_over",
            Self::ProbeSucceeded => "probe_succeeded",
            Self::ProbeFailed => "probe_failed",
            Self::ProbeExpired => "probe_expired",
            Self::Forced => "forced",
            Self::GivenBack => "given_back",
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub from: State,
    pub to: State,
    pub cause: Cause,
    /// The time of the transition on the breaker's clock.
    pub at: Duration,
    /// For an opening: how long the breaker stays open.
    pub open_for: Option<Duration>,
    /// The failures that were counted in the previous state.
    pub failures: u32,
}

/// The state of a breaker for health checks, operators and re-decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    pub state: State,
    pub mode: CircuitMode,
    /// How long the breaker has not been closed; zero while it is closed.
    pub not_closed_for: Duration,
    /// Only counted while closed.
    pub consecutive_failures: u32,
    /// Calls in the window, only counted while closed.
    pub calls: u32,
    /// Failures among these calls.
    pub failures: u32,
    /// Slow calls among these calls.
    pub slow: u32,
    /// The time until a call may be admitted; zero if the next one may.
    pub retry_in: Duration,
    /// The number of times that the breaker has opened since it was created.
    pub opened_count: u64,
}

impl Snapshot {
    /// Whether the next call would be admitted as a probe.
    pub fn is_ready_for_probe(&self) -> bool {
        self.state == State::HalfOpen && self.retry_in.is_zero()
    }
}
