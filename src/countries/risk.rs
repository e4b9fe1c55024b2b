//! The risk score: 0.00 to 100.00, higher is riskier (docs/specification.md 3.4).
//!
//! | part | points |
//! |---|---|
//! | credit | 40 × (850 − score) / 550 |
//! | affordability | 30 × ratio / limit, at most 30: the country's DTI or PTI and its limit |
//! | history | 30 with defaults, else 10 when the accounts are told to be anything but active |
//! | rules | 20 for each broken reject rule, 10 for each broken review rule |
//!
//! The score cannot be known without the credit score, nor without the ratio where that is the DTI and the
//! obligations were not told. A standing or defaults that were not told add nothing.
//!
//! Both fractions are brought over one denominator and divided once, so that a sum that lies exactly between two
//! cents is rounded half-even as it is and not as two roundings before it left it.

use rust_decimal::{Decimal, RoundingStrategy};

use super::ratios::Quotient;
use super::rule::Facts;
use super::thresholds::Ratio;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::decision::Outcome;

/// The lowest score of a rejected application.
const REJECTED_AT_LEAST: u32 = 50;
/// The score from which a human looks at an application.
const REVIEW_FROM: u32 = 50;

/// The ratio that tells whether a country's applicant can afford the instalment, with its limit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Affordability {
    /// (Obligations + instalment) / income.
    Dti(Ratio),
    /// Instalment / income.
    Pti(Ratio),
}

/// How many rules were broken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken {
    pub(super) reject: usize,
    pub(super) review: usize,
}

/// The risk score with two decimals; `None` when a component cannot be known. What a rejection has at least is added by
/// [`of_status`], once the status is known.
pub(super) fn score(facts: &Facts<'_>, affordability: Affordability, broken: Broken) -> Option<Decimal> {
    let credit = credit(facts.told.credit_score?);
    let (ratio, limit) = match affordability {
        Affordability::Dti(limit) => (facts.dti()?, limit),
        Affordability::Pti(limit) => (facts.pti(), limit),
    };
    let affordability = affordability_points(ratio, limit);
    let fractions = (credit.upper * affordability.lower + affordability.upper * credit.lower)
        / (credit.lower * affordability.lower);
    let rules =
        Decimal::from(broken.reject) * Decimal::from(20) + Decimal::from(broken.review) * Decimal::TEN;
    let total = (fractions + history(facts.told) + rules).clamp(Decimal::ZERO, Decimal::ONE_HUNDRED);
    let mut rounded = total.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven);
    rounded.rescale(2);
    Some(rounded)
}

/// The score of an application that is decided so: a rejected one has at least 50.
pub(super) fn of_status(score: Decimal, status: Outcome) -> Decimal {
    let mut floor = Decimal::from(REJECTED_AT_LEAST);
    floor.rescale(2);
    if status == Outcome::Rejected { score.max(floor) } else { score }
}

/// Whether a score this high goes to a human.
pub(super) fn needs_review(score: Decimal) -> bool {
    score >= Decimal::from(REVIEW_FROM)
}

/// Between 0 and 40; a [`CreditScore`] is within 300 to 850, so nothing is left to clamp.
fn credit(score: CreditScore) -> Quotient {
    let short_of_best = CreditScore::MAX.saturating_sub(score.get());
    let range = CreditScore::MAX.saturating_sub(CreditScore::MIN);
    Quotient { upper: Decimal::from(40) * Decimal::from(short_of_best), lower: Decimal::from(range) }
}

/// Between 0 and 30. The lower part is never zero: a ratio over nothing reaches every limit.
fn affordability_points(ratio: Quotient, limit: Ratio) -> Quotient {
    let most = Decimal::from(30);
    if ratio.reaches(limit) {
        Quotient { upper: most, lower: Decimal::ONE }
    } else {
        Quotient { upper: most * ratio.upper, lower: ratio.lower * limit.get() }
    }
}

fn history(told: &BankingData) -> Decimal {
    if told.has_defaults == Some(true) {
        return Decimal::from(30);
    }
    match told.account_status {
        None | Some(AccountStatus::Active) => Decimal::ZERO,
        Some(
            AccountStatus::Inactive
            | AccountStatus::Suspended
            | AccountStatus::Closed
            | AccountStatus::Unknown,
        ) => Decimal::TEN,
    }
}
