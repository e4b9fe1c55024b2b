//! A rule of a rule pack: its test, the consequence of violating it, and its explanation.
//!
//! A country's rules are a list of [`Rule`]s, each with a variant of [`Test`]. The compiler ensures that a new variant has
//! inputs, a threshold, a description and the reason code of a missing input.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::ratios::Quotient;
use super::thresholds::{Amount, Ratio};
use crate::domain::banking::{BankingData, CreditScore};
use crate::domain::decision::{Case, RuleKind, RuleOutcome, RuleResult};

/// The condition of a rule. The name states when it holds: `AtMost` fails above its limit, `Below` fails at its limit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Test {
    /// DTI: (monthly obligations + instalment) / monthly income is below the limit.
    DtiBelow(Ratio),
    /// DTI: (monthly obligations + instalment) / monthly income is at most the limit.
    DtiAtMost(Ratio),
    /// PTI: instalment / monthly income is at most the limit.
    PtiAtMost(Ratio),
    /// LTI: requested amount / annual income is at most the limit.
    LtiAtMost(Ratio),
    /// The declared monthly income is at least the limit.
    IncomeAtLeast(Amount),
    /// The requested amount is at most the limit.
    AmountAtMost(Amount),
    /// The credit score is at least the limit.
    ScoreAtLeast(CreditScore),
    /// The bureau reports no defaults.
    NoDefaults,
    /// The average income from the bureau deviates from the declared income by at most this share, in either direction.
    AverageIncomeWithin(Ratio),
    /// The bureau has verified the person's record.
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

#[derive(Debug, Clone, Copy)]
/// A rule of a country.
pub(super) struct Rule {
    /// The stable code. If the rule is violated, it is also the reason code.
    pub(super) code: &'static str,
    /// The consequence of violating the rule.
    pub(super) kind: RuleKind,
    /// The condition.
    pub(super) test: Test,
}

impl Rule {
    /// A rule that rejects the application if it is violated.
    pub(super) const fn reject(code: &'static str, test: Test) -> Self {
        Self { code, kind: RuleKind::Reject, test }
    }

    /// A rule that sends the application to review if it is violated.
    pub(super) const fn review(code: &'static str, test: Test) -> Self {
        Self { code, kind: RuleKind::Review, test }
    }

    /// Evaluates the rule and explains the result.
    pub(super) fn apply(&self, facts: &Facts<'_>) -> RuleOutcome {
        let finding = self.test.evaluate(facts);
        RuleOutcome {
            code: self.code.to_owned(),
            kind: self.kind,
            description: self.test.description(),
            inputs: finding.inputs,
            threshold: self.test.threshold(),
            result: match finding.passed {
                Some(true) => RuleResult::Passed,
                Some(false) => RuleResult::Broken,
                None => RuleResult::NotEvaluated,
            },
        }
    }
}

/// The inputs of rules.
pub(super) struct Facts<'a> {
    /// The request and the declared figures.
    pub(super) case: &'a Case,
    /// The bureau's report, empty if there are only fallback figures.
    pub(super) report: &'a BankingData,
    /// The monthly instalment, in cents.
    pub(super) instalment: Decimal,
}

impl Facts<'_> {
    /// (Monthly obligations + instalment) / monthly income; `None` if the obligations are unknown.
    pub(super) fn dti(&self) -> Option<Quotient> {
        let obligations = self.report.monthly_obligations?.amount();
        Some(Quotient {
            numerator: obligations + self.instalment,
            denominator: self.case.monthly_income.amount(),
        })
    }

    /// Instalment / monthly income.
    pub(super) fn pti(&self) -> Quotient {
        Quotient { numerator: self.instalment, denominator: self.case.monthly_income.amount() }
    }

    /// Requested amount / annual income.
    fn lti(&self) -> Quotient {
        let yearly_income = self.case.monthly_income.amount() * Decimal::from(12);
        Quotient { numerator: self.case.requested_amount.amount(), denominator: yearly_income }
    }

    /// |average - declared| / declared; `None` if the average is unknown.
    fn income_deviation(&self) -> Option<Quotient> {
        let declared = self.case.monthly_income.amount();
        let average = self.report.average_monthly_income?.amount();
        Some(Quotient { numerator: (average - declared).abs(), denominator: declared })
    }
}

/// The inputs of a test and whether it passed; `None` if that is unknown.
struct Finding {
    inputs: BTreeMap<String, Value>,
    passed: Option<bool>,
}

impl Finding {
    fn new<const N: usize>(passed: Option<bool>, inputs: [(&str, Value); N]) -> Self {
        Self { passed, inputs: inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }
}

impl Test {
    fn evaluate(&self, facts: &Facts<'_>) -> Finding {
        let Facts { case, report, instalment } = facts;
        let income = json!(case.monthly_income);
        let instalment = json!(instalment.to_string());
        match *self {
            Self::DtiBelow(limit) => dti_finding(facts, facts.dti().map(|dti| !dti.reaches(limit))),
            Self::DtiAtMost(limit) => dti_finding(facts, facts.dti().map(|dti| !dti.is_above(limit))),
            Self::PtiAtMost(limit) => {
                let pti = facts.pti();
                let inputs =
                    [("instalment", instalment), ("monthly_income", income), ("pti", shown(Some(pti)))];
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
                let passed = case.monthly_income.amount() >= floor.get();
                Finding::new(Some(passed), [("monthly_income", income)])
            }
            Self::AmountAtMost(ceiling) => {
                let passed = case.requested_amount.amount() <= ceiling.get();
                Finding::new(Some(passed), [("requested_amount", json!(case.requested_amount))])
            }
            Self::ScoreAtLeast(floor) => {
                let passed = report.credit_score.map(|score| score >= floor);
                Finding::new(passed, [("credit_score", json!(report.credit_score))])
            }
            Self::NoDefaults => {
                let passed = report.has_defaults.map(|defaults| !defaults);
                Finding::new(passed, [("has_defaults", json!(report.has_defaults))])
            }
            Self::AverageIncomeWithin(limit) => {
                let deviation = facts.income_deviation();
                let inputs = [
                    ("monthly_income", income),
                    ("average_monthly_income", json!(report.average_monthly_income)),
                    ("deviation", shown(deviation)),
                ];
                Finding::new(deviation.map(|d| !d.is_above(limit)), inputs)
            }
            Self::VerifiedRecord => Finding::new(report.verified, [("verified", json!(report.verified))]),
        }
    }

    /// The limit as text; `None` if the test has none.
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

    /// The condition in words, with its limit.
    pub(super) fn description(&self) -> String {
        match self {
            Self::DtiBelow(limit) => {
                format!(
                    "The obligations plus the instalment must stay below {} of the income.",
                    limit.percent()
                )
            }
            Self::DtiAtMost(limit) => {
                format!(
                    "The obligations plus the instalment must not exceed {} of the income.",
                    limit.percent()
                )
            }
            Self::PtiAtMost(limit) => {
                format!("The instalment must not exceed {} of the income.", limit.percent())
            }
            Self::LtiAtMost(limit) => {
                format!("The requested amount must not exceed {limit} times the annual income.")
            }
            Self::IncomeAtLeast(floor) => format!("The monthly income must be at least {floor}."),
            Self::AmountAtMost(ceiling) => format!("The requested amount must not exceed {ceiling}."),
            Self::ScoreAtLeast(floor) => format!("The credit score must be at least {}.", floor.get()),
            Self::NoDefaults => "The bureau must report no active defaults.".to_owned(),
            Self::AverageIncomeWithin(limit) => format!(
                "The average income reported by the bureau must be within {} of the declared income.",
                limit.percent()
            ),
            Self::VerifiedRecord => "The bureau must have verified the record of the person.".to_owned(),
        }
    }

    /// The reason code for a missing input; `None` if the test needs no bureau data.
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

fn dti_finding(facts: &Facts<'_>, passed: Option<bool>) -> Finding {
    let inputs = [
        ("monthly_obligations", json!(facts.report.monthly_obligations)),
        ("instalment", json!(facts.instalment.to_string())),
        ("monthly_income", json!(facts.case.monthly_income)),
        ("dti", shown(facts.dti())),
    ];
    Finding::new(passed, inputs)
}

/// The displayed quotient, rounded; `null` if there is none.
fn shown(quotient: Option<Quotient>) -> Value {
    json!(quotient.and_then(Quotient::displayed).map(|ratio| ratio.to_string()))
}
