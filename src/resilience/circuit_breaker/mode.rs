//! The modes of a circuit breaker that operators can set.

/// How an operator controls a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitMode {
    /// The breaker follows its own counts.
    Auto,
    /// Calls are refused.
    ForcedOpen,
    /// Calls are admitted, whatever their results.
    ForcedClosed,
}

impl CircuitMode {
    pub const ALL: [Self; 3] = [Self::Auto, Self::ForcedOpen, Self::ForcedClosed];

    /// The name in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}

impl std::str::FromStr for CircuitMode {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or("unknown circuit mode")
    }
}
