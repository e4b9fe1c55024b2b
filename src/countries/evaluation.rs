//! Evaluates rule packs. A decision is a pure function of a rule pack and a case.
//!
//! The outcome (section 3 of docs/specification.md): a violated reject rule rejects the application. Otherwise any of
//! these sends it to review: a violated review rule, a rule that cannot be evaluated, a thin file, a risk score of 50
//! or more, or an application that another account made with the same document shortly before. All other applications
//! are approved. A person unknown to the bureau can therefore still be rejected by a rule that needs no bureau data.
//!
//! Decisions on fallback figures always lead to review. Rules that need bureau data are not evaluated. Violations of
//! the other rules only inform the reviewer.
//!
//! A later confirmation by the bureau (section 6 of docs/specification.md) may contain a verdict. If the bureau rejects
//! the application or requests a review, that is the outcome, regardless of the rules.
//!
//! Reason codes are ordered by the following classes, and within a class in the order of the rule pack. Only the first
//! four codes are kept.
//! 1. `PROVIDER_UNAVAILABLE` or `PROVIDER_TIMEOUT` if there is no bureau data; `PROVIDER_REJECTED` or
//!    `PROVIDER_NEEDS_REVIEW` if the bureau's verdict determines the outcome;
//! 2. violated reject rules, then violated review rules, then `APPLIED_ELSEWHERE`;
//! 3. `RISK_TOO_HIGH` if the risk score is 50 or more and no rule rejects;
//! 4. `THIN_FILE`, or otherwise the missing inputs of rules that could not be evaluated (`MISSING_…`). Missing inputs are
//!    not listed if the bureau is unavailable or the file is thin.
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

/// Reason code: the bureau has no record of the person.
pub const THIN_FILE: &str = "THIN_FILE";
/// Reason code: the risk score requires a review.
pub const RISK_TOO_HIGH: &str = "RISK_TOO_HIGH";

/// Reason codes that do not belong to a rule.
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

/// The maximum number of reason codes of a decision.
const MAX_REASONS: usize = 4;

/// Increment this when a change to this module would decide an earlier case differently with the same thresholds. Part
/// of every rule pack's version.
const ENGINE_REVISION: u32 = 2;

/// A country's rules with their thresholds.
#[derive(Debug)]
pub(super) struct RulePack {
    version: String,
    reference_annual_rate: AnnualRate,
    affordability: Affordability,
    rules: Vec<Rule>,
}

impl RulePack {
    /// `revision` counts the changes to the country's code, and `thresholds` are all figures that the rules use. Both
    /// are part of the version.
    ///
    /// # Errors
    /// [`Error::Internal`] if the thresholds cannot be serialized, which is a bug.
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

    /// The nominal annual rate of the instalment.
    pub(super) const fn reference_annual_rate(&self) -> AnnualRate {
        self.reference_annual_rate
    }

    /// The rules, in the order in which decisions list them.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Decides a case. Every case has a decision.
    pub(super) fn evaluate(&self, case: &Case) -> Decision {
        let bureau = BureauAnswer::of(&case.banking_data);
        let no_report = BankingData::empty("");
        let report = if bureau.is_missing() { &no_report } else { &case.banking_data };
        let instalment = instalment(case.requested_amount, self.reference_annual_rate, case.term_months);
        let facts = Facts { case, report, instalment };

        let rules: Vec<RuleOutcome> = self.rules.iter().map(|rule| rule.apply(&facts)).collect();
        let broken = Broken {
            reject: count(&rules, RuleKind::Reject, RuleResult::Broken),
            review: count(&rules, RuleKind::Review, RuleResult::Broken),
        };
        let risk = risk::score(&facts, self.affordability, broken);
        let status = status(&rules, broken, risk.as_ref().map(|risk| risk.score), bureau);
        let status = if case.applied_elsewhere { status.at_best(Outcome::UnderReview) } else { status };
        let risk = risk.map(|risk| risk.with_minimum(status));
        let risk_score = risk.as_ref().map(|risk| risk.score);
        let reasons = self.reasons(&rules, status, risk_score, bureau, case.applied_elsewhere);
        let risk_components = risk.map(|risk| risk.components);
        let rules_version = self.version.clone();
        Decision { status, risk_score, risk_components, reasons, rules, rules_version }
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
            BureauAnswer::Report | BureauAnswer::Rejects | BureauAnswer::RequestsReview => {
                let unknown = with(RuleKind::Reject, RuleResult::NotEvaluated)
                    .chain(with(RuleKind::Review, RuleResult::NotEvaluated));
                reasons.extend(unknown.filter_map(|(rule, _)| rule.test.missing_input()));
            }
        }
        reasons.into_iter().take(MAX_REASONS).map(str::to_owned).collect()
    }
}

/// What the bureau reported, or why there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BureauAnswer {
    /// A report, which may be incomplete.
    Report,
    /// The bureau has no record of the person.
    ThinFile,
    /// The figures are fallback figures, because the bureau was unavailable.
    Unavailable,
    /// The figures are fallback figures, because the bureau announced a report but did not send it in time.
    TimedOut,
    /// The bureau rejects the application, regardless of the figures.
    Rejects,
    /// The bureau requests a review, regardless of the figures.
    RequestsReview,
}

impl BureauAnswer {
    fn of(data: &BankingData) -> Self {
        if data.is_fallback() {
            return if data.is_timed_out() { Self::TimedOut } else { Self::Unavailable };
        }
        match reported_outcome(data) {
            Some(ReportedOutcome::Rejected) => Self::Rejects,
            Some(ReportedOutcome::NeedsReview) => Self::RequestsReview,
            Some(ReportedOutcome::Confirmed) | None if data.is_thin_file() => Self::ThinFile,
            Some(ReportedOutcome::Confirmed) | None => Self::Report,
        }
    }

    fn is_missing(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut)
    }

    /// The reason code for this response, if any.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Unavailable => Some(PROVIDER_UNAVAILABLE),
            Self::TimedOut => Some(PROVIDER_TIMEOUT),
            Self::Rejects => Some(PROVIDER_REJECTED),
            Self::RequestsReview => Some(PROVIDER_NEEDS_REVIEW),
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
        BureauAnswer::Unavailable | BureauAnswer::TimedOut | BureauAnswer::RequestsReview => {
            Outcome::UnderReview
        }
        BureauAnswer::Rejects => Outcome::Rejected,
        _ if broken.reject > 0 => Outcome::Rejected,
        BureauAnswer::ThinFile => Outcome::UnderReview,
        BureauAnswer::Report if broken.review > 0 || uncertain => Outcome::UnderReview,
        BureauAnswer::Report => Outcome::Approved,
    }
}

/// Everything that can change a decision, in the order of hashing.
#[derive(Serialize)]
struct Content<'a, T> {
    engine: u32,
    rules: u32,
    thresholds: &'a T,
}

/// The country code and the first 64 bits of the SHA-256 of the pack's content.
fn version(country: Country, revision: u32, thresholds: &impl Serialize) -> Result<String> {
    let content = Content { engine: ENGINE_REVISION, rules: revision, thresholds };
    let canonical = serde_json::to_vec(&content).map_err(Error::internal)?;
    let hash = Sha256::digest(&canonical);
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{hex}", country.lower_code()))
}
