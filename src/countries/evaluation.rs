//! The engine that all countries share: a rule pack is a list of rules, and a decision is a pure function of it
//! and a case.
//!
//! The decision (docs/specification.md 3.5): a broken reject rule rejects. Otherwise a broken review rule, a rule
//! that could not be
//! evaluated, a thin file, a risk of 50 and more, or another account's application with the same document on the same
//! day sends the application to a human. What is left is approved. A
//! person whom the bureau does not know can therefore still be rejected, by a rule that needs no bureau.
//! Decisions on fallback figures are never more than a hand-over to a human: no bureau rule looks at those figures,
//! and even a broken rule that needs no bureau only informs the human.
//!
//! A bureau that confirms an application later (docs/specification.md 6) may report an outcome of its own: when it
//! rejects, or wants a human
//! to look, that is the decision, whatever the rules say of its figures.
//!
//! The reason codes rank so, each class in the order of the rule pack, and the first four are kept:
//! 1. `PROVIDER_UNAVAILABLE` or `PROVIDER_TIMEOUT`: nothing the bureau says is known, so it comes before whatever else is;
//!    `PROVIDER_REJECTED` or `PROVIDER_NEEDS_REVIEW`: what it says is all that counts;
//! 2. broken reject rules, then broken review rules, then `APPLIED_ELSEWHERE`;
//! 3. `RISK_TOO_HIGH`, when the score is 50 or more and no rule rejects;
//! 4. `THIN_FILE`, or else what was missing where a rule could not be evaluated (`MISSING_…`). With the bureau
//!    unavailable or a thin file that one cause stands for all its effects.
//!
//! An approved application has no reasons.

use rust_decimal::Decimal;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::ratios::instalment;
use super::risk::{self, Affordability, Broken};
use super::rule::{Facts, Rule};
use super::thresholds::AnnualRate;
use crate::domain::application::Country;
use crate::domain::banking::BankingData;
use crate::domain::confirmation::{ReportedOutcome, reported_outcome};
use crate::domain::decision::{
    APPLIED_ELSEWHERE, Case, Decision, MANUAL_REVIEW, Outcome, PROVIDER_NEEDS_REVIEW, PROVIDER_REJECTED,
    PROVIDER_TIMEOUT, PROVIDER_UNAVAILABLE, RuleKind, RuleOutcome, RuleResult,
};
use crate::error::{Error, Result};

/// The reason code of a person whom the bureau does not know.
pub const THIN_FILE: &str = "THIN_FILE";
/// The reason code of a risk score that is high enough to send an application to a human.
pub const RISK_TOO_HIGH: &str = "RISK_TOO_HIGH";

/// The reason codes that belong to no rule.
pub(super) const GENERAL_REASONS: [&str; 8] = [
    APPLIED_ELSEWHERE,
    MANUAL_REVIEW,
    PROVIDER_NEEDS_REVIEW,
    PROVIDER_REJECTED,
    PROVIDER_TIMEOUT,
    PROVIDER_UNAVAILABLE,
    RISK_TOO_HIGH,
    THIN_FILE,
];

/// How many reason codes a decision keeps.
const MAX_REASONS: usize = 4;

/// Raised whenever this engine would decide an old case differently with the same figures: it is part of every rule
/// pack's version.
const ENGINE_REVISION: u32 = 2;

/// A country's rules with their figures, ready to decide.
#[derive(Debug)]
pub(super) struct RulePack {
    version: String,
    reference_annual_rate: AnnualRate,
    affordability: Affordability,
    rules: Vec<Rule>,
}

impl RulePack {
    /// Puts a pack together. `revision` counts the changes to the country's own code; `thresholds` are all the
    /// figures that the rules were made of. Both are in the version.
    ///
    /// # Errors
    /// [`Error::Internal`] when the figures cannot be written down, which would be a defect of their types.
    pub(super) fn new(
        country: Country,
        revision: u32,
        thresholds: &impl Serialize,
        reference_annual_rate: AnnualRate,
        affordability: Affordability,
        rules: Vec<Rule>,
    ) -> Result<Self> {
        let version = version(country, revision, thresholds)?;
        Ok(Self { version, reference_annual_rate, affordability, rules })
    }

    /// The content hash, such as `es-0123456789abcdef`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The nominal yearly rate of the instalment.
    pub(super) const fn reference_annual_rate(&self) -> AnnualRate {
        self.reference_annual_rate
    }

    /// The rules, in order.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Decides. Any case gets a decision.
    pub(super) fn evaluate(&self, case: &Case) -> Decision {
        let bureau = BureauAnswer::of(&case.banking_data);
        let nothing_told = BankingData::empty("");
        let told = if bureau.is_missing() { &nothing_told } else { &case.banking_data };
        let instalment = instalment(case.requested_amount, self.reference_annual_rate, case.term_months);
        let facts = Facts { case, told, instalment };

        let rules: Vec<RuleOutcome> = self.rules.iter().map(|rule| rule.apply(&facts)).collect();
        let broken = Broken {
            reject: count(&rules, RuleKind::Reject, RuleResult::Broken),
            review: count(&rules, RuleKind::Review, RuleResult::Broken),
        };
        let risk_score = risk::score(&facts, self.affordability, broken);
        let status = status(&rules, broken, risk_score, bureau);
        let status = if case.applied_elsewhere { status.at_best(Outcome::UnderReview) } else { status };
        let risk_score = risk_score.map(|score| risk::of_status(score, status));
        let reasons = self.reasons(&rules, status, risk_score, bureau, case.applied_elsewhere);
        Decision { status, risk_score, reasons, rules, rules_version: self.version.clone() }
    }

    fn reasons(
        &self,
        outcomes: &[RuleOutcome],
        status: Outcome,
        risk_score: Option<Decimal>,
        bureau: BureauAnswer,
        applied_elsewhere: bool,
    ) -> Vec<String> {
        let with = |kind, result| {
            self.rules.iter().zip(outcomes).filter(move |(_, o)| o.kind == kind && o.result == result)
        };
        let mut reasons: Vec<&'static str> = Vec::new();
        reasons.extend(bureau.reason());
        reasons.extend(with(RuleKind::Reject, RuleResult::Broken).map(|(rule, _)| rule.code));
        reasons.extend(with(RuleKind::Review, RuleResult::Broken).map(|(rule, _)| rule.code));
        if applied_elsewhere {
            reasons.push(APPLIED_ELSEWHERE);
        }
        if status == Outcome::UnderReview && risk_score.is_some_and(risk::needs_review) {
            reasons.push(RISK_TOO_HIGH);
        }
        match bureau {
            BureauAnswer::Unavailable | BureauAnswer::TimedOut => {}
            BureauAnswer::ThinFile => reasons.push(THIN_FILE),
            BureauAnswer::Report | BureauAnswer::Rejects | BureauAnswer::WantsReview => {
                let unknown = with(RuleKind::Reject, RuleResult::NotEvaluated)
                    .chain(with(RuleKind::Review, RuleResult::NotEvaluated));
                reasons.extend(unknown.filter_map(|(rule, _)| rule.test.missing_input()));
            }
        }
        reasons.into_iter().take(MAX_REASONS).map(str::to_owned).collect()
    }
}

/// What kind of answer the figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BureauAnswer {
    /// A report, complete or not.
    Report,
    /// The bureau knows no such person.
    ThinFile,
    /// The bureau could not be asked: the figures are Aval's own.
    Unavailable,
    /// The bureau promised an answer that did not come: the figures are Aval's own.
    TimedOut,
    /// The bureau declines, whatever its figures.
    Rejects,
    /// The bureau leaves it to a human, whatever its figures.
    WantsReview,
}

impl BureauAnswer {
    fn of(data: &BankingData) -> Self {
        if data.is_fallback() {
            return if data.is_timed_out() { Self::TimedOut } else { Self::Unavailable };
        }
        match reported_outcome(data) {
            Some(ReportedOutcome::Rejected) => Self::Rejects,
            Some(ReportedOutcome::NeedsReview) => Self::WantsReview,
            Some(ReportedOutcome::Confirmed) | None if data.is_thin_file() => Self::ThinFile,
            Some(ReportedOutcome::Confirmed) | None => Self::Report,
        }
    }

    fn is_missing(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut)
    }

    /// The code of an answer that is a reason by itself.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Unavailable => Some(PROVIDER_UNAVAILABLE),
            Self::TimedOut => Some(PROVIDER_TIMEOUT),
            Self::Rejects => Some(PROVIDER_REJECTED),
            Self::WantsReview => Some(PROVIDER_NEEDS_REVIEW),
            Self::Report | Self::ThinFile => None,
        }
    }
}

fn count(outcomes: &[RuleOutcome], kind: RuleKind, result: RuleResult) -> usize {
    outcomes.iter().filter(|o| o.kind == kind && o.result == result).count()
}

fn status(outcomes: &[RuleOutcome], broken: Broken, risk: Option<Decimal>, bureau: BureauAnswer) -> Outcome {
    let unknown = outcomes.iter().any(|o| o.result == RuleResult::NotEvaluated);
    let uncertain = unknown || risk.is_none_or(risk::needs_review);
    match bureau {
        BureauAnswer::Unavailable | BureauAnswer::TimedOut | BureauAnswer::WantsReview => {
            Outcome::UnderReview
        }
        BureauAnswer::Rejects => Outcome::Rejected,
        _ if broken.reject > 0 => Outcome::Rejected,
        BureauAnswer::ThinFile => Outcome::UnderReview,
        BureauAnswer::Report if broken.review > 0 || uncertain => Outcome::UnderReview,
        BureauAnswer::Report => Outcome::Approved,
    }
}

/// Everything that can change a decision, in the order in which it is hashed.
#[derive(Serialize)]
struct Content<'a, T> {
    engine: u32,
    rules: u32,
    thresholds: &'a T,
}

/// The first 64 bits of the SHA-256 of the pack's content, after the country's code.
fn version(country: Country, revision: u32, thresholds: &impl Serialize) -> Result<String> {
    let content = Content { engine: ENGINE_REVISION, rules: revision, thresholds };
    let canonical = serde_json::to_vec(&content).map_err(Error::internal)?;
    let hash = Sha256::digest(&canonical);
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{hex}", country.lower_code()))
}
