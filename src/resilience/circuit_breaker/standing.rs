//! How a breaker stands, and what changed it: the words that logs, metrics, answers and the re-decision use.

use std::time::Duration;

use super::mode::CircuitMode;

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Lets every call through.
    Closed,
    /// Refuses every call.
    Open,
    /// Lets one call through, to see whether the bureau is back.
    HalfOpen,
}

impl State {
    /// The state's name in logs, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The state as `provider_circuit_breaker_state` shows it (docs/specification.md 12).
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
    /// So many failures in a row.
    ConsecutiveFailures,
    /// The window's share of failures.
    FailureRate,
    /// The window's share of slow calls.
    SlowRate,
    /// The open time is over.
    OpenTimeOver,
    /// The probe succeeded.
    ProbeSucceeded,
    /// The probe failed.
    ProbeFailed,
    /// The probe was never answered.
    ProbeExpired,
    /// An operator forced it.
    Forced,
    /// An operator's override ended.
    GivenBack,
}

impl Cause {
    /// Every cause.
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

    /// The cause's name in logs.
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

/// One change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// When, on the breaker's time.
    pub at: Duration,
    /// How long it stays open, when it opened.
    pub open_for: Option<Duration>,
}

/// A breaker as health checks, operators and the re-decision see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// What it does with calls.
    pub state: State,
    /// Whether an operator has forced it to.
    pub mode: CircuitMode,
    /// For how long it has not been closed; zero while it is.
    pub not_closed_for: Duration,
    /// Failures in a row, while closed.
    pub consecutive_failures: u32,
    /// Calls in the window, while closed.
    pub calls: u32,
    /// Failures among them.
    pub failures: u32,
    /// Slow calls among them.
    pub slow: u32,
    /// When a call may be let through at the earliest; zero: the next one is.
    pub retry_in: Duration,
    /// How often it has opened since it was made.
    pub opened_count: u64,
}

impl Snapshot {
    /// Whether it waits for a call to try the bureau with.
    pub fn wants_probe(&self) -> bool {
        self.state == State::HalfOpen && self.retry_in.is_zero()
    }
}
