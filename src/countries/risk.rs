//! The risk score: 0.00 to 100.00, higher is riskier (section 3.4 of docs/specification.md).
//!
//! | part | points |
//! |---|---|
//! | credit | 40 × (850 − score) / 550 |
//! | affordability | 30 × ratio / limit, at most 30: the country's DTI or PTI and its limit |
//! | history | 30 with defaults, otherwise 10 if the accounts are reported as anything but active |
//! | rules | 20 for each violated reject rule, 10 for each violated review rule |
//!
//! The score is unknown without the credit score, and also without the obligations if the ratio is the DTI. Unreported
//! account states and defaults add nothing.
//!
//! The points for credit and affordability are fractions. They are added over a common denominator and divided once, so
//! the result is rounded only once (half to even).
//!
//! The score is returned with its parts, whose sum is exactly the score. To achieve this, the credit points are rounded
//! separately, and the affordability points are the difference between the rounded sum of both and the rounded credit
//! points.

use rust_decimal::{Decimal, RoundingStrategy};

use super::ratios::Quotient;
use super::rule::Facts;
use super::thresholds::Ratio;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::decision::{Outcome, RiskComponent, RiskPart};

/// The lowest score of a rejected application.
const MIN_REJECTED_SCORE: u32 = 50;
/// The score at which an application requires a review.
const MIN_REVIEW_SCORE: u32 = 50;

/// The affordability ratio of a country, with its limit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Affordability {
    /// (Obligations + instalment) / income.
    Dti(Ratio),
    /// Instalment / income.
    Pti(Ratio),
}

/// The numbers of violated rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken {
    pub(super) reject: usize,
    pub(super) review: usize,
}

/// The risk score, and its parts in the order of the calculation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Risk {
    /// With two decimal places.
    pub(super) score: Decimal,
    /// Their sum is `score`.
    pub(super) components: Vec<RiskComponent>,
}

impl Risk {
    /// Adds a part.
    fn add(&mut self, component: RiskPart, mut points: Decimal) {
        points.rescale(2);
        self.score += points;
        self.components.push(RiskComponent { component, points });
    }

    /// Applies the minimum of 50 for rejected applications.
    pub(super) fn with_minimum(mut self, status: Outcome) -> Self {
        let missing = Decimal::from(MIN_REJECTED_SCORE) - self.score;
        if status == Outcome::Rejected && missing > Decimal::ZERO {
            self.add(RiskPart::Minimum, missing);
        }
        self
    }
}

/// The risk score; `None` if a component is unknown. [`Risk::with_minimum`] applies the minimum for rejections once the
/// status is known.
pub(super) fn score(facts: &Facts<'_>, affordability: Affordability, broken: Broken) -> Option<Risk> {
    let credit = credit(facts.report.credit_score?);
    let (ratio, limit) = match affordability {
        Affordability::Dti(limit) => (facts.dti()?, limit),
        Affordability::Pti(limit) => (facts.pti(), limit),
    };
    let affordability = affordability_points(ratio, limit);
    let fractions = (credit.numerator * affordability.denominator
        + affordability.numerator * credit.denominator)
        / (credit.denominator * affordability.denominator);
    // All other parts are whole numbers, so rounding the fractions rounds the sum.
    let fractions = round(fractions);
    let credit = round(credit.numerator / credit.denominator);
    let components = Vec::with_capacity(RiskPart::ALL.len());
    let mut risk = Risk { score: Decimal::new(0, 2), components };
    risk.add(RiskPart::Credit, credit);
    risk.add(RiskPart::Affordability, fractions - credit);
    risk.add(RiskPart::History, history(facts.report));
    risk.add(RiskPart::RejectingRules, Decimal::from(broken.reject) * Decimal::from(20));
    risk.add(RiskPart::ReviewRules, Decimal::from(broken.review) * Decimal::TEN);
    if risk.score > Decimal::ONE_HUNDRED {
        risk.add(RiskPart::Cap, Decimal::ONE_HUNDRED - risk.score);
    }
    Some(risk)
}

fn round(points: Decimal) -> Decimal {
    points.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven)
}

/// Whether a score requires a review.
pub(super) fn needs_review(score: Decimal) -> bool {
    score >= Decimal::from(MIN_REVIEW_SCORE)
}

/// The credit points, from 0 to 40. No clamping is needed: a [`CreditScore`] is between 300 and 850.
fn credit(score: CreditScore) -> Quotient {
    let below_max = CreditScore::MAX.saturating_sub(score.get());
    let range = CreditScore::MAX.saturating_sub(CreditScore::MIN);
    Quotient { numerator: Decimal::from(40) * Decimal::from(below_max), denominator: Decimal::from(range) }
}

/// The affordability points, from 0 to 30. The denominator is never zero: a ratio over zero reaches every limit.
fn affordability_points(ratio: Quotient, limit: Ratio) -> Quotient {
    let max_points = Decimal::from(30);
    if ratio.reaches(limit) {
        Quotient { numerator: max_points, denominator: Decimal::ONE }
    } else {
        Quotient { numerator: max_points * ratio.numerator, denominator: ratio.denominator * limit.get() }
    }
}

fn history(report: &BankingData) -> Decimal {
    if report.has_defaults == Some(true) {
        return Decimal::from(30);
    }
    match report.account_status {
        None | Some(AccountStatus::Active) => Decimal::ZERO,
        Some(
            AccountStatus::Inactive
            | AccountStatus::Suspended
            | AccountStatus::Closed
            | AccountStatus::Unknown,
        ) => Decimal::TEN,
    }
}
