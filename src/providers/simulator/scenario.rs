//! The scenarios that test documents select.

/// The scenario that a test document selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scenario {
    /// A clean record.
    Approve,
    /// A score of 480, below every country's minimum.
    LowScore,
    /// Monthly obligations of four times a typical income, which exceed the DTI limit for any ordinary income.
    HighObligations,
    /// Active defaults, score 640.
    Defaults,
    /// Accounts suspended, score 700.
    Suspended,
    /// An average income of 900.00, which deviates by more than 20 % from every income accepted in Italy.
    IncomeMismatch,
    /// A record that is not verified.
    Unverified,
    /// An unknown person: 404.
    ThinFile,
    /// A report without a score.
    NoScore,
    /// A report that omits the debt figures.
    NoObligations,
    /// 500 on every call.
    ServerError,
    /// 503 on every call.
    Unavailable,
    /// No response within any timeout.
    Timeout,
    /// 200 with a truncated report.
    Malformed,
    /// 401, as for wrong credentials.
    Unauthorized,
    /// 429 with `Retry-After`.
    RateLimited,
    /// The clean record, but slower than the breaker's threshold of 3 s.
    Slow,
}

impl Scenario {
    /// The two digits of the scenario in test documents and their families.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Approve => 1,
            Self::LowScore => 2,
            Self::HighObligations => 3,
            Self::Defaults => 4,
            Self::Suspended => 5,
            Self::IncomeMismatch => 6,
            Self::Unverified => 7,
            Self::ThinFile => 8,
            Self::NoScore => 9,
            Self::NoObligations => 10,
            Self::ServerError => 11,
            Self::Unavailable => 12,
            Self::Timeout => 13,
            Self::Malformed => 14,
            Self::Unauthorized => 15,
            Self::RateLimited => 16,
            Self::Slow => 17,
        }
    }
}
