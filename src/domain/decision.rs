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

/// The input of a country's rules. The same input always produces the same decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// In the country's currency.
    pub requested_amount: Money,
    /// The declared income per month, in the country's currency.
    pub monthly_income: Money,
    /// The number of monthly instalments.
    pub term_months: TermMonths,
    /// The bureau's report.
    pub banking_data: BankingData,
    /// Whether another account applied with the same document shortly before (docs/specification.md, section 3.5).
    /// Earlier versions did not check this; their stored cases have no such member.
    #[serde(default)]
    pub applied_elsewhere: bool,
}

/// The result of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The application is granted.
    Approved,
    /// The application is declined.
    Rejected,
    /// A person decides.
    UnderReview,
}

impl Outcome {
    /// This outcome, or `best` if this one is more favourable.
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

/// Bands of the risk score, which ranges from 0 to 100 (docs/specification.md, section 3.4).
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
    /// Every band, in ascending order.
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

    /// The band that contains `score`.
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

    /// The lower bound, inclusive, and the upper bound, exclusive.
    pub const fn bounds(self) -> (u8, u8) {
        match self {
            Self::Low => (0, 30),
            Self::Medium => (30, 50),
            Self::High => (50, 70),
            Self::Critical => (70, 101),
        }
    }
}

/// The source of a part of the risk score (docs/specification.md, section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskPart {
    /// The credit score.
    Credit,
    /// The affordability ratio.
    Affordability,
    /// Defaults and the status of the accounts.
    History,
    /// Violated reject rules.
    RejectingRules,
    /// Violated review rules.
    ReviewRules,
    /// The points removed because the score cannot exceed 100.
    Cap,
    /// The points added because a rejected application has a minimum score.
    Minimum,
}

impl RiskPart {
    /// Every part, in the order of the calculation.
    pub const ALL: [Self; 7] = [
        Self::Credit,
        Self::Affordability,
        Self::History,
        Self::RejectingRules,
        Self::ReviewRules,
        Self::Cap,
        Self::Minimum,
    ];
}

/// A part of the risk score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskComponent {
    pub component: RiskPart,
    /// With two decimal places; negative only for [`RiskPart::Cap`].
    #[serde(with = "rust_decimal::serde::str")]
    pub points: Decimal,
}

/// The consequence of violating a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// The application is declined.
    Reject,
    /// A person reviews the application.
    Review,
}

/// The result of evaluating a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleResult {
    /// The case complies with the rule.
    Passed,
    /// The case violates the rule.
    Broken,
    /// An input is missing.
    NotEvaluated,
}

/// The evaluation of one rule, with its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleOutcome {
    /// The rule's stable code, such as `DTI_TOO_HIGH`. If the rule is violated, it is also the reason code.
    pub code: String,
    /// The consequence of violating the rule.
    pub kind: RuleKind,
    /// The rule in words, with its threshold.
    pub description: String,
    /// The inputs by name; `null` if the bureau did not report the value.
    pub inputs: BTreeMap<String, Value>,
    /// The rule's limit as text; `null` if it has none.
    pub threshold: Option<String>,
    /// The result of the evaluation.
    pub result: RuleResult,
}

/// A decision and its explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The outcome for the application.
    pub status: Outcome,
    /// 0.00 to 100.00, higher is riskier; `null` if a component is unknown.
    #[serde(with = "rust_decimal::serde::str_option", default)]
    pub risk_score: Option<Decimal>,
    /// The parts of the risk score, which add up to it; `null` if there is no score or an earlier version made the
    /// decision.
    #[serde(default)]
    pub risk_components: Option<Vec<RiskComponent>>,
    /// Up to four reason codes in descending order of weight.
    pub reasons: Vec<String>,
    /// Every rule, in the order of the rule pack.
    pub rules: Vec<RuleOutcome>,
    /// The content hash of the rule pack.
    pub rules_version: String,
}

/// Reason code: another account applied with the same document shortly before.
pub const APPLIED_ELSEWHERE: &str = "APPLIED_ELSEWHERE";

/// Reason code: decided without a bureau report.
pub const PROVIDER_UNAVAILABLE: &str = "PROVIDER_UNAVAILABLE";

/// Reason code: decided because the bureau did not send its report in time.
pub const PROVIDER_TIMEOUT: &str = "PROVIDER_TIMEOUT";

/// Reason code: the bureau rejected the application.
pub const PROVIDER_REJECTED: &str = "PROVIDER_REJECTED";

/// Reason code: the bureau requested a review.
pub const PROVIDER_NEEDS_REVIEW: &str = "PROVIDER_NEEDS_REVIEW";

/// Reason code shown to applicants if a review has only internal reasons.
pub const MANUAL_REVIEW: &str = "MANUAL_REVIEW";

/// Reason codes that only staff can see: one discloses another account's application, the other a bureau's request.
/// Applicants see [`MANUAL_REVIEW`] instead, which does not disclose which of the two it replaces.
pub const INTERNAL_REASONS: [&str; 2] = [APPLIED_ELSEWHERE, PROVIDER_NEEDS_REVIEW];

/// The reason codes shown to applicants: all except the internal ones. If a review has only internal reasons,
/// [`MANUAL_REVIEW`] replaces them.
pub fn public_reasons(status: Outcome, reasons: Vec<String>) -> Vec<String> {
    let mut public: Vec<String> =
        reasons.into_iter().filter(|reason| !INTERNAL_REASONS.contains(&reason.as_str())).collect();
    if public.is_empty() && status == Outcome::UnderReview {
        public.push(MANUAL_REVIEW.to_owned());
    }
    public
}

/// A stored decision.
#[derive(Clone)]
pub struct StoredDecision {
    /// Identifies one evaluation.
    pub id: DecisionId,
    /// The application that was decided.
    pub application_id: ApplicationId,
    /// The case that was decided, as JSON.
    pub case: Value,
    /// The result and its explanation.
    pub decision: Decision,
    /// The time of the decision.
    pub decided_at: DateTime<Utc>,
}

impl fmt::Debug for StoredDecision {
    /// Omits the case, which contains the bureau's report.
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
    fn internal_reasons_are_hidden_from_applicants() {
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
    fn bands_have_no_gaps_and_no_overlaps() {
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
