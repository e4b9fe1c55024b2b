//! One rule of a rule pack: what it tests, what breaking it leads to, and how it explains itself.
//!
//! A country's rules are data: a list of [`Rule`]s over the closed vocabulary of [`Test`]. A new kind of test is a
//! new variant, and the compiler then asks for its inputs, its threshold, its wording and its missing input.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::ratios::Quotient;
use super::thresholds::{Amount, Ratio};
use crate::domain::banking::{BankingData, CreditScore};
use crate::domain::decision::{Case, RuleKind, RuleOutcome, RuleResult};

/// What a rule demands. Each variant names what keeps it, so `AtMost` is broken above its limit and `Below` at it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Test {
    /// (Monthly obligations + instalment) / monthly income stays below.
    DtiBelow(Ratio),
    /// (Monthly obligations + instalment) / monthly income is at most.
    DtiAtMost(Ratio),
    /// Instalment / monthly income is at most.
    PtiAtMost(Ratio),
    /// Requested amount / yearly income is at most.
    LtiAtMost(Ratio),
    /// The declared monthly income is at least.
    IncomeAtLeast(Amount),
    /// The requested amount is at most.
    AmountAtMost(Amount),
    /// The bureau's score is at least.
    ScoreAtLeast(CreditScore),
    /// The bureau knows of no defaults.
    NoDefaults,
    /// The bureau's average income lies at most this part of the declared income away from it, either way.
    AverageIncomeWithin(Ratio),
    /// The bureau has a verified record of the person.
    VerifiedRecord,
}

/// The reason codes of inputs that a bureau did not report.
pub(super) const MISSING_INPUTS: [&str; 5] = [
    "MISSING_AVERAGE_MONTHLY_INCOME",
    "MISSING_CREDIT_SCORE",
    "MISSING_HAS_DEFAULTS",
    "MISSING_MONTHLY_OBLIGATIONS",
    "MISSING_VERIFIED",
];

/// A rule of a country.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The stable code; the reason code of a decision when the rule is broken.
    pub(super) code: &'static str,
    /// What breaking it leads to.
    pub(super) kind: RuleKind,
    /// What it demands.
    pub(super) test: Test,
}

impl Rule {
    /// A rule that declines when it is broken.
    pub(super) const fn reject(code: &'static str, test: Test) -> Self {
        Self { code, kind: RuleKind::Reject, test }
    }

    /// A rule that sends to a human when it is broken.
    pub(super) const fn review(code: &'static str, test: Test) -> Self {
        Self { code, kind: RuleKind::Review, test }
    }

    /// Looks at `facts`, and explains what came of it.
    pub(super) fn apply(&self, facts: &Facts<'_>) -> RuleOutcome {
        let finding = self.test.look_at(facts);
        RuleOutcome {
            code: self.code.to_owned(),
            kind: self.kind,
            description: self.test.description(),
            inputs: finding.inputs,
            threshold: self.test.threshold(),
            result: match finding.kept {
                Some(true) => RuleResult::Passed,
                Some(false) => RuleResult::Broken,
                None => RuleResult::NotEvaluated,
            },
        }
    }
}

/// All that a rule may look at.
pub(super) struct Facts<'a> {
    /// What was asked for and declared.
    pub(super) case: &'a Case,
    /// What the bureau told. Fallback figures are no report: they never get here.
    pub(super) told: &'a BankingData,
    /// The monthly instalment, in cents.
    pub(super) instalment: Decimal,
}

impl Facts<'_> {
    /// (Monthly obligations + instalment) / monthly income; `None` when the obligations are not told.
    pub(super) fn dti(&self) -> Option<Quotient> {
        let obligations = self.told.monthly_obligations?.amount();
        Some(Quotient { upper: obligations + self.instalment, lower: self.case.monthly_income.amount() })
    }

    /// Instalment / monthly income.
    pub(super) fn pti(&self) -> Quotient {
        Quotient { upper: self.instalment, lower: self.case.monthly_income.amount() }
    }

    /// Requested amount / yearly income.
    fn lti(&self) -> Quotient {
        let yearly_income = self.case.monthly_income.amount() * Decimal::from(12);
        Quotient { upper: self.case.requested_amount.amount(), lower: yearly_income }
    }

    /// |average - declared| / declared; `None` when the average is not told.
    fn income_deviation(&self) -> Option<Quotient> {
        let declared = self.case.monthly_income.amount();
        let average = self.told.average_monthly_income?.amount();
        Some(Quotient { upper: (average - declared).abs(), lower: declared })
    }
}

/// What a test saw, and whether it was kept; `None` when nobody can tell.
struct Finding {
    inputs: BTreeMap<String, Value>,
    kept: Option<bool>,
}

impl Finding {
    fn new<const N: usize>(kept: Option<bool>, inputs: [(&str, Value); N]) -> Self {
        Self { kept, inputs: inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }
}

impl Test {
    fn look_at(&self, facts: &Facts<'_>) -> Finding {
        let Facts { case, told, instalment } = facts;
        let income = json!(case.monthly_income);
        let monthly = json!(instalment.to_string());
        match *self {
            Self::DtiBelow(limit) => dti_finding(facts, facts.dti().map(|dti| !dti.reaches(limit))),
            Self::DtiAtMost(limit) => dti_finding(facts, facts.dti().map(|dti| !dti.is_above(limit))),
            Self::PtiAtMost(limit) => {
                let pti = facts.pti();
                let inputs = [("instalment", monthly), ("monthly_income", income), ("pti", shown(Some(pti)))];
                Finding::new(Some(!pti.is_above(limit)), inputs)
            }
            Self::LtiAtMost(limit) => {
                let lti = facts.lti();
                let amount = json!(case.requested_amount);
                let inputs =
                    [("requested_amount", amount), ("monthly_income", income), ("lti", shown(Some(lti)))];
                Finding::new(Some(!lti.is_above(limit)), inputs)
            }
            Self::IncomeAtLeast(floor) => {
                let kept = case.monthly_income.amount() >= floor.get();
                Finding::new(Some(kept), [("monthly_income", income)])
            }
            Self::AmountAtMost(ceiling) => {
                let kept = case.requested_amount.amount() <= ceiling.get();
                Finding::new(Some(kept), [("requested_amount", json!(case.requested_amount))])
            }
            Self::ScoreAtLeast(floor) => {
                let kept = told.credit_score.map(|score| score >= floor);
                Finding::new(kept, [("credit_score", json!(told.credit_score))])
            }
            Self::NoDefaults => {
                let kept = told.has_defaults.map(|defaults| !defaults);
                Finding::new(kept, [("has_defaults", json!(told.has_defaults))])
            }
            Self::AverageIncomeWithin(limit) => {
                let deviation = facts.income_deviation();
                let inputs = [
                    ("monthly_income", income),
                    ("average_monthly_income", json!(told.average_monthly_income)),
                    ("deviation", shown(deviation)),
                ];
                Finding::new(deviation.map(|d| !d.is_above(limit)), inputs)
            }
            Self::VerifiedRecord => Finding::new(told.verified, [("verified", json!(told.verified))]),
        }
    }

    /// The limit, as text; `None` for a test that has none.
    pub(super) fn threshold(&self) -> Option<String> {
        match self {
            Self::DtiBelow(limit)
            | Self::DtiAtMost(limit)
            | Self::PtiAtMost(limit)
            | Self::LtiAtMost(limit)
            | Self::AverageIncomeWithin(limit) => Some(limit.to_string()),
            Self::IncomeAtLeast(amount) | Self::AmountAtMost(amount) => Some(amount.to_string()),
            Self::ScoreAtLeast(score) => Some(score.get().to_string()),
            Self::NoDefaults | Self::VerifiedRecord => None,
        }
    }

    /// The demand in words, with its limit.
    pub(super) fn description(&self) -> String {
        match self {
            Self::DtiBelow(limit) => {
                format!(
                    "Obligations and instalment together must stay below {} of the income.",
                    limit.percent()
                )
            }
            Self::DtiAtMost(limit) => {
                format!(
                    "Obligations and instalment together must not exceed {} of the income.",
                    limit.percent()
                )
            }
            Self::PtiAtMost(limit) => {
                format!("The instalment must not exceed {} of the income.", limit.percent())
            }
            Self::LtiAtMost(limit) => {
                format!("The requested amount must not exceed {limit} times the yearly income.")
            }
            Self::IncomeAtLeast(floor) => format!("The monthly income must be at least {floor}."),
            Self::AmountAtMost(ceiling) => format!("The requested amount must not exceed {ceiling}."),
            Self::ScoreAtLeast(floor) => format!("The credit score must be at least {}.", floor.get()),
            Self::NoDefaults => "The bureau must know of no active defaults.".to_owned(),
            Self::AverageIncomeWithin(limit) => format!(
                "The bureau's average income must lie within {} of the declared income.",
                limit.percent()
            ),
            Self::VerifiedRecord => "The bureau must have a verified record of the person.".to_owned(),
        }
    }

    /// The reason code that tells which input was missing when the test could not be made; `None` for a test that
    /// asks the bureau nothing.
    pub(super) const fn missing_input(&self) -> Option<&'static str> {
        match self {
            Self::DtiBelow(_) | Self::DtiAtMost(_) => Some("MISSING_MONTHLY_OBLIGATIONS"),
            Self::ScoreAtLeast(_) => Some("MISSING_CREDIT_SCORE"),
            Self::NoDefaults => Some("MISSING_HAS_DEFAULTS"),
            Self::AverageIncomeWithin(_) => Some("MISSING_AVERAGE_MONTHLY_INCOME"),
            Self::VerifiedRecord => Some("MISSING_VERIFIED"),
            Self::PtiAtMost(_) | Self::LtiAtMost(_) | Self::IncomeAtLeast(_) | Self::AmountAtMost(_) => None,
        }
    }
}

fn dti_finding(facts: &Facts<'_>, kept: Option<bool>) -> Finding {
    let inputs = [
        ("monthly_obligations", json!(facts.told.monthly_obligations)),
        ("instalment", json!(facts.instalment.to_string())),
        ("monthly_income", json!(facts.case.monthly_income)),
        ("dti", shown(facts.dti())),
    ];
    Finding::new(kept, inputs)
}

/// A quotient as an explanation shows it: rounded, `null` when there is none.
fn shown(quotient: Option<Quotient>) -> Value {
    json!(quotient.and_then(Quotient::shown).map(|ratio| ratio.to_string()))
}
