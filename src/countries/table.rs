//! Table tests of the countries: one row per document, one row per case. Each country's file has its tables.
//!
//! The expected values were computed separately from the published algorithms, in exact fractions.

use chrono::{DateTime, TimeZone as _, Utc};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Countries, DocumentVerdict, definition_of};
use crate::domain::application::{Country, TermMonths};
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::decision::{Case, Decision, Outcome, RuleKind, RuleResult};
use crate::domain::money::Money;

/// The expected risk of a case whose risk score is unknown.
pub(super) const UNKNOWN: &str = "unknown";

/// The time at which all tables are evaluated: noon UTC on 20 May 2026.
pub(super) fn moment() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 5, 20, 12, 0, 0).unwrap()
}

/// A text and its expected normalized document or reasons.
pub(super) type DocumentRow = (&'static str, Result<&'static str, &'static [&'static str]>);

/// The code of a rule, the consequence of violating it, and its threshold.
pub(super) type RuleRow = (&'static str, RuleKind, Option<&'static str>);

/// The expected results of one country.
pub(super) struct Expected {
    /// The content hash of the rules with the built-in thresholds. Computed separately from the documented content.
    pub(super) rules_version: &'static str,
    pub(super) reference_annual_rate: &'static str,
    /// The rules, as in section 3.3 of docs/specification.md.
    pub(super) rules: &'static [RuleRow],
    /// At least 40 texts with their normalized document or the reasons.
    pub(super) documents: &'static [DocumentRow],
    /// A generator of valid, normalized documents, which shares no code with the check.
    pub(super) valid_document: fn() -> BoxedStrategy<String>,
    /// At least 25 cases.
    pub(super) cases: fn() -> Vec<DecisionRow>,
}

thread_local! {
    static COUNTRIES: Countries = Countries::built_in().unwrap();
}

/// Checks a document at [`moment`].
pub(super) fn check(country: Country, text: &str) -> DocumentVerdict {
    COUNTRIES.with(|countries| countries.rules(country).check_document(text, moment()))
}

/// Evaluates a case with the built-in thresholds.
pub(super) fn evaluate(country: Country, case: &Case) -> Decision {
    COUNTRIES.with(|countries| countries.rules(country).evaluate(case))
}

/// The sum of the digits multiplied by their weights, which fall by one from `first_weight`.
pub(super) fn weighted(text: &str, first_weight: u32) -> u32 {
    text.chars().zip((2..=first_weight).rev()).map(|(c, weight)| c.to_digit(10).unwrap() * weight).sum()
}

/// `text` with the character at `place` replaced, and the position of that character; `None` if the character would not
/// change.
pub(super) fn changed(text: &str, place: Index, replacement: char) -> Option<(String, usize)> {
    let place = place.index(text.len());
    let mut characters: Vec<char> = text.chars().collect();
    let differs = characters[place] != replacement;
    characters[place] = replacement;
    differs.then(|| (characters.into_iter().collect(), place))
}

/// A character of a document.
pub(super) fn replacement() -> impl Strategy<Value = char> {
    select("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars().collect::<Vec<_>>())
}

#[test]
fn documents_have_the_expected_verdicts() {
    for country in Country::ALL {
        let rows = definition_of(country).expected.documents;
        assert!(rows.len() >= 40, "{country} has only {} documents", rows.len());
        for (text, expected) in rows {
            let verdict = check(country, text);
            let reasons: Vec<&str> = verdict.reasons.iter().map(|reason| reason.as_str()).collect();
            let found = verdict.normalized.as_deref().ok_or(reasons.as_slice());
            assert_eq!(found, *expected, "{country} {text:?}");
            assert_eq!(verdict.valid, expected.is_ok(), "{country} {text:?}");
            let unrecognized = matches!(expected, Err(["bad_length"] | ["bad_format"]));
            assert_eq!(verdict.kind.is_none(), unrecognized, "{country} {text:?}");
        }
    }
}

/// The bureau report of a row.
pub(super) struct ReportBuilder(BankingData);

/// The default report: these obligations and this score, active accounts, no defaults.
pub(super) fn report(obligations: &str, score: i64) -> ReportBuilder {
    let mut data = BankingData::empty("bureau");
    data.account_status = Some(AccountStatus::Active);
    data.credit_score = Some(CreditScore::new(score).unwrap());
    data.monthly_obligations = Some(Money::parse(obligations).unwrap());
    data.has_defaults = Some(false);
    ReportBuilder(data)
}

impl ReportBuilder {
    pub(super) fn with_loan_defaults(mut self) -> Self {
        self.0.has_defaults = Some(true);
        self
    }

    pub(super) fn without_defaults(mut self) -> Self {
        self.0.has_defaults = None;
        self
    }

    pub(super) fn account_status(mut self, status: AccountStatus) -> Self {
        self.0.account_status = Some(status);
        self
    }

    pub(super) fn without_account_status(mut self) -> Self {
        self.0.account_status = None;
        self
    }

    pub(super) fn without_score(mut self) -> Self {
        self.0.credit_score = None;
        self
    }

    pub(super) fn with_unknown_obligations(mut self) -> Self {
        self.0.monthly_obligations = None;
        self
    }

    pub(super) fn average_income(mut self, income: &str) -> Self {
        self.0.average_monthly_income = Some(Money::parse(income).unwrap());
        self
    }

    pub(super) fn verified(mut self, verified: bool) -> Self {
        self.0.verified = Some(verified);
        self
    }
}

/// A case and its expected decision.
pub(super) struct DecisionRow {
    case: Case,
    status: Outcome,
    risk: &'static str,
    reasons: &'static [&'static str],
}

/// A row with amount, income, months and report, and the expected status, risk and reasons.
pub(super) fn row(
    amount: &str,
    income: &str,
    months: i64,
    report: ReportBuilder,
    status: Outcome,
    risk: &'static str,
    reasons: &'static [&'static str],
) -> DecisionRow {
    DecisionRow { case: case(amount, income, months, report), status, risk, reasons }
}

pub(super) fn case(amount: &str, income: &str, months: i64, report: ReportBuilder) -> Case {
    Case {
        requested_amount: Money::parse(amount).unwrap(),
        monthly_income: Money::parse(income).unwrap(),
        term_months: TermMonths::new(months).unwrap(),
        banking_data: report.0,
        applied_elsewhere: false,
    }
}

#[test]
fn cases_have_the_expected_decisions() {
    for country in Country::ALL {
        let rows = (definition_of(country).expected.cases)();
        assert!(rows.len() >= 25, "{country} has only {} cases", rows.len());
        for DecisionRow { case, status, risk, reasons } in &rows {
            let decision = evaluate(country, case);
            let found = decision.risk_score.map_or(UNKNOWN.to_owned(), |score| score.to_string());
            assert_eq!((decision.status, found.as_str()), (*status, *risk), "{country} {case:?}");
            assert_eq!(decision.reasons, *reasons, "{country} {case:?}");
            for rule in &decision.rules {
                assert!(!rule.description.is_empty() && !rule.inputs.is_empty(), "{rule:?}");
                let missing = rule.inputs.values().any(serde_json::Value::is_null);
                assert_eq!(missing, rule.result == RuleResult::NotEvaluated, "{rule:?}");
            }
        }
    }
}
