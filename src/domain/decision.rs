//! A decision and its explanation.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::application::TermMonths;
use super::banking::BankingData;
use super::ids::{ApplicationId, DecisionId};
use super::money::Money;
use super::status::Status;

/// Everything that a country's rules look at: the same input always gives the same decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// How much is asked for.
    pub requested_amount: Money,
    /// What the applicant declares to earn.
    pub monthly_income: Money,
    /// Over how many instalments.
    pub term_months: TermMonths,
    /// What the bureau said.
    pub banking_data: BankingData,
    /// Another account applied with the same document within 24 hours (docs/specification.md 3.5). False when absent.
    #[serde(default)]
    pub applied_elsewhere: bool,
}

/// What a decision makes of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Granted.
    Approved,
    /// Declined.
    Rejected,
    /// A human decides.
    UnderReview,
}

impl Outcome {
    /// This one, or `best` where this is better for the applicant.
    #[must_use]
    pub fn at_best(self, best: Self) -> Self {
        let rank = |outcome: Self| match outcome {
            Self::Rejected => 0,
            Self::UnderReview => 1,
            Self::Approved => 2,
        };
        if rank(self) > rank(best) { best } else { self }
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Approved => Self::Approved,
            Outcome::Rejected => Self::Rejected,
            Outcome::UnderReview => Self::UnderReview,
        }
    }
}

/// The risk score, 0 to 100 (docs/specification.md 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskBand {
    /// Below 30.
    Low,
    /// 30 to below 50.
    Medium,
    /// 50 to below 70.
    High,
    /// 70 and above.
    Critical,
}

impl RiskBand {
    /// Every band, from the lowest.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The band of a score.
    pub fn of(score: Decimal) -> Self {
        if score < Decimal::from(30) {
            Self::Low
        } else if score < Decimal::from(50) {
            Self::Medium
        } else if score < Decimal::from(70) {
            Self::High
        } else {
            Self::Critical
        }
    }

    /// The scores of the band: from the first up to, but without, the second.
    pub const fn bounds(self) -> (u8, u8) {
        match self {
            Self::Low => (0, 30),
            Self::Medium => (30, 50),
            Self::High => (50, 70),
            Self::Critical => (70, 101),
        }
    }
}

/// What a broken rule leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// The application is declined.
    Reject,
    /// A human looks at it.
    Review,
}

/// How one rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleResult {
    /// Kept.
    Passed,
    /// Broken.
    Broken,
    /// An input was missing, so that nobody can tell.
    NotEvaluated,
}

/// One rule of one decision, with all that it looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleOutcome {
    /// The rule's stable code, such as `DTI_TOO_HIGH`: the reason code that a broken rule gives.
    pub code: String,
    /// What breaking it leads to.
    pub kind: RuleKind,
    /// The rule in words, with its threshold.
    pub description: String,
    /// What it looked at, by name; `null` where the bureau did not tell.
    pub inputs: BTreeMap<String, Value>,
    /// The limit that it compared with, as text; `null` where there is none.
    pub threshold: Option<String>,
    /// How it came out.
    pub result: RuleResult,
}

/// A decision, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What becomes of the application.
    pub status: Outcome,
    /// 0.00 to 100.00, higher is riskier; `null` where a component cannot be known.
    #[serde(with = "rust_decimal::serde::str_option", default)]
    pub risk_score: Option<Decimal>,
    /// Up to four reason codes, the weightiest first.
    pub reasons: Vec<String>,
    /// Every rule, in the order of the rule pack.
    pub rules: Vec<RuleOutcome>,
    /// The content hash of the rule pack that decided.
    pub rules_version: String,
}

/// The reason code of an application whose document another account applied with shortly before.
pub const APPLIED_ELSEWHERE: &str = "APPLIED_ELSEWHERE";

/// The reason code of a decision that was made without the bureau.
pub const PROVIDER_UNAVAILABLE: &str = "PROVIDER_UNAVAILABLE";

/// The reason code of a decision that was made because the bureau let its time to answer pass.
pub const PROVIDER_TIMEOUT: &str = "PROVIDER_TIMEOUT";

/// The reason code of a decision that follows a bureau's own refusal.
pub const PROVIDER_REJECTED: &str = "PROVIDER_REJECTED";

/// The reason code of a decision that a bureau leaves to a human.
pub const PROVIDER_NEEDS_REVIEW: &str = "PROVIDER_NEEDS_REVIEW";

/// The reason code that an applicant sees of an application that waits for a human for internal reasons alone.
pub const MANUAL_REVIEW: &str = "MANUAL_REVIEW";

/// The reason codes that only staff see: the first tells of another account's application, the second of a bureau's
/// request. Two kinds of cause stand behind [`MANUAL_REVIEW`], so that it does not tell which.
pub const INTERNAL_REASONS: [&str; 2] = [APPLIED_ELSEWHERE, PROVIDER_NEEDS_REVIEW];

/// The reason codes as an applicant sees them. Internal ones are left out; where nothing else is left of the reasons for
/// a review, [`MANUAL_REVIEW`] stands for them.
pub fn public_reasons(status: Outcome, reasons: Vec<String>) -> Vec<String> {
    let mut public: Vec<String> =
        reasons.into_iter().filter(|reason| !INTERNAL_REASONS.contains(&reason.as_str())).collect();
    if public.is_empty() && status == Outcome::UnderReview {
        public.push(MANUAL_REVIEW.to_owned());
    }
    public
}

/// A decision as it is stored.
#[derive(Clone)]
pub struct StoredDecision {
    /// The identifier.
    pub id: DecisionId,
    /// Whose it is.
    pub application_id: ApplicationId,
    /// What was decided on.
    pub case: Value,
    /// The decision.
    pub decision: Decision,
    /// When.
    pub decided_at: DateTime<Utc>,
}

impl fmt::Debug for StoredDecision {
    /// Without the case, which holds the bureau's report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredDecision")
            .field("id", &self.id)
            .field("application_id", &self.application_id)
            .field("decision", &self.decision)
            .field("decided_at", &self.decided_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applicant_sees_no_internal_reason() {
        let codes = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>();
        for (status, stored, seen) in [
            (Outcome::UnderReview, vec![APPLIED_ELSEWHERE], vec![MANUAL_REVIEW]),
            (Outcome::UnderReview, vec![PROVIDER_NEEDS_REVIEW], vec![MANUAL_REVIEW]),
            (
                Outcome::UnderReview,
                vec!["AMOUNT_NEEDS_REVIEW", APPLIED_ELSEWHERE],
                vec!["AMOUNT_NEEDS_REVIEW"],
            ),
            (Outcome::Rejected, vec!["DTI_TOO_HIGH", APPLIED_ELSEWHERE], vec!["DTI_TOO_HIGH"]),
            (Outcome::Approved, vec![], vec![]),
        ] {
            assert_eq!(public_reasons(status, codes(&stored)), codes(&seen), "{stored:?}");
        }
    }

    #[test]
    fn bands_meet_without_gap_or_overlap() {
        for (score, band) in [
            ("0", RiskBand::Low),
            ("29.99", RiskBand::Low),
            ("30.00", RiskBand::Medium),
            ("49.99", RiskBand::Medium),
            ("50", RiskBand::High),
            ("69.99", RiskBand::High),
            ("70", RiskBand::Critical),
            ("100", RiskBand::Critical),
        ] {
            let score = Decimal::from_str_exact(score).unwrap();
            assert_eq!(RiskBand::of(score), band);
            let (from, below) = band.bounds();
            assert!(Decimal::from(from) <= score && score < Decimal::from(below));
        }
    }
}
