//! What the table tests of the countries are written in: one row a document, one row a case.
//!
//! Expected figures were worked out apart from this code, from the published algorithms, in exact fractions.

use chrono::{DateTime, TimeZone as _, Utc};

use super::Countries;
use crate::domain::application::{Country, TermMonths};
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::decision::{Case, Outcome, RuleResult};
use crate::domain::money::Money;

/// The risk of a row in which it cannot be known.
pub(super) const UNKNOWN: &str = "unknown";

/// The moment of every table: noon of 20 May 2026.
pub(super) fn moment() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 5, 20, 12, 0, 0).unwrap()
}

/// A text and what becomes of it: the normalised document, or the reasons against it.
pub(super) type DocumentRow = (&'static str, Result<&'static str, &'static [&'static str]>);

/// Checks every row, and that the table is as long as it has to be.
pub(super) fn assert_documents(country: Country, rows: &[DocumentRow]) {
    assert!(rows.len() >= 40, "{country} has only {} documents", rows.len());
    let countries = Countries::built_in().unwrap();
    for (text, expected) in rows {
        let verdict = countries.rules(country).check_document(text, moment());
        let reasons: Vec<&str> = verdict.reasons.iter().map(|reason| reason.as_str()).collect();
        let found = verdict.normalized.as_deref().ok_or(reasons.as_slice());
        assert_eq!(found, *expected, "{country} {text:?}");
        assert_eq!(verdict.valid, expected.is_ok(), "{country} {text:?}");
        let shapeless = matches!(expected, Err(["bad_length"] | ["bad_format"]));
        assert_eq!(verdict.kind.is_none(), shapeless, "{country} {text:?}");
    }
}

/// A bureau's report, as a row states it.
pub(super) struct Told(BankingData);

/// The usual report: these obligations and this score, accounts in order, no defaults.
pub(super) fn told(obligations: &str, score: i64) -> Told {
    let mut data = BankingData::empty("bureau");
    data.account_status = Some(AccountStatus::Active);
    data.credit_score = Some(CreditScore::new(score).unwrap());
    data.monthly_obligations = Some(Money::parse(obligations).unwrap());
    data.has_defaults = Some(false);
    Told(data)
}

impl Told {
    pub(super) fn with_defaults(mut self) -> Self {
        self.0.has_defaults = Some(true);
        self
    }

    pub(super) fn defaults_untold(mut self) -> Self {
        self.0.has_defaults = None;
        self
    }

    pub(super) fn standing(mut self, status: AccountStatus) -> Self {
        self.0.account_status = Some(status);
        self
    }

    pub(super) fn standing_untold(mut self) -> Self {
        self.0.account_status = None;
        self
    }

    pub(super) fn score_untold(mut self) -> Self {
        self.0.credit_score = None;
        self
    }

    pub(super) fn obligations_untold(mut self) -> Self {
        self.0.monthly_obligations = None;
        self
    }

    pub(super) fn average(mut self, income: &str) -> Self {
        self.0.average_monthly_income = Some(Money::parse(income).unwrap());
        self
    }

    pub(super) fn verified(mut self, verified: bool) -> Self {
        self.0.verified = Some(verified);
        self
    }
}

/// A case and its decision.
pub(super) struct DecisionRow {
    case: Case,
    status: Outcome,
    risk: &'static str,
    reasons: &'static [&'static str],
}

/// Amount, income, months and report; status, risk and reasons.
pub(super) fn row(
    amount: &str,
    income: &str,
    months: i64,
    told: Told,
    status: Outcome,
    risk: &'static str,
    reasons: &'static [&'static str],
) -> DecisionRow {
    DecisionRow { case: case(amount, income, months, told), status, risk, reasons }
}

/// A case.
pub(super) fn case(amount: &str, income: &str, months: i64, told: Told) -> Case {
    Case {
        requested_amount: Money::parse(amount).unwrap(),
        monthly_income: Money::parse(income).unwrap(),
        term_months: TermMonths::new(months).unwrap(),
        banking_data: told.0,
        applied_elsewhere: false,
    }
}

/// Checks every row, that each broken rule explains itself, and that the table is as long as it has to be.
pub(super) fn assert_decisions(country: Country, rows: &[DecisionRow]) {
    assert!(rows.len() >= 25, "{country} has only {} cases", rows.len());
    let countries = Countries::built_in().unwrap();
    for DecisionRow { case, status, risk, reasons } in rows {
        let decision = countries.rules(country).evaluate(case);
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
