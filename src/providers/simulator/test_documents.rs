//! The test documents: one document per country and possible response of a bureau.
//!
//! Each bureau's file lists its documents. The simulator looks up its responses in these lists, tests iterate over them,
//! and a test compares them with `docs/providers.md`. Every document passes its country's official check. In every country,
//! the same two digits of a document mean the same scenario (`90000004S`, `200000047`, `RSSMRA80A04H501D`, … all have
//! defaults), except in the samples of the specification.

use super::bureau::CleanFigures;
use super::record::{BureauRecord, typical_monthly_income, units};
use super::scenario::Scenario;
use super::{families, simulated};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, CreditScore};
use crate::domain::status::Status;

use Scenario::{
    Approve, Defaults, HighObligations, IncomeMismatch, LowScore, Malformed, NoObligations, NoScore,
    RateLimited, ServerError, Slow, Suspended, ThinFile, Timeout, Unauthorized, Unavailable, Unverified,
};

#[derive(Debug, Clone, Copy)]
/// A test document.
pub struct TestDocument {
    /// The country of the document.
    pub country: Country,
    /// The document, normalized.
    pub document: &'static str,
    /// The scenario that it selects.
    pub scenario: Scenario,
}

/// Every test document.
pub fn test_documents() -> impl Iterator<Item = TestDocument> {
    Country::ALL.into_iter().flat_map(documents_of)
}

fn documents_of(country: Country) -> impl Iterator<Item = TestDocument> {
    let documents = simulated(country).documents.iter();
    documents.map(move |(scenario, document)| TestDocument { country, document, scenario: *scenario })
}

/// Whether a normalized document is a test document.
pub fn is_test_document(country: Country, document: &str) -> bool {
    documents_of(country).any(|row| row.document == document)
}

/// The simulated bureau's response to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A report.
    Report(BureauRecord),
    /// A report after a delay.
    SlowReport(BureauRecord),
    /// The first half of a report.
    HalfReport(BureauRecord),
    /// 404: the person is unknown.
    NotFound,
    /// 500.
    ServerError,
    /// 503.
    Unavailable,
    /// 401.
    Unauthorized,
    /// 429.
    RateLimited,
    /// No response.
    Hang,
}

/// The simulated response to `document`: the scenario of the test document or its family, or otherwise a generated
/// report.
pub fn outcome_of(country: Country, document: &str) -> Outcome {
    let listed = documents_of(country).find(|row| row.document == document).map(|row| row.scenario);
    match listed.or_else(|| families::scenario_of(country, document)) {
        Some(scenario) => outcome(country, scenario),
        None => Outcome::Report(BureauRecord::generated(country, document)),
    }
}

impl TestDocument {
    /// The simulated response to this document.
    pub fn outcome(&self) -> Outcome {
        outcome(self.country, self.scenario)
    }

    /// The response in words, for the documentation.
    pub const fn answer(&self) -> &'static str {
        match self.scenario {
            Approve => "clean record",
            LowScore => "score 480",
            HighObligations => "monthly obligations of four times a typical income",
            Defaults => "active defaults, score 640",
            Suspended => "accounts suspended, score 700",
            IncomeMismatch => "average income 900.00",
            Unverified => "record not verified",
            ThinFile => "404: no record of the person",
            NoScore => "report without a score",
            NoObligations => "report that omits the debt figures",
            ServerError => "500 on every call",
            Unavailable => "503 on every call",
            Timeout => "no response for 60 s",
            Malformed => "200 with a truncated report",
            Unauthorized => "401",
            RateLimited => "429 with `Retry-After: 2`",
            Slow => "clean record after 4 s",
        }
    }

    /// The effect on an otherwise acceptable application, for the documentation.
    pub fn effect(&self) -> &'static str {
        let bureau = simulated(self.country);
        let status = match self.scenario {
            Approve | Suspended | Slow => Status::Approved,
            LowScore | HighObligations => Status::Rejected,
            Defaults => bureau.with_loan_defaults,
            NoObligations => bureau.with_unknown_obligations,
            IncomeMismatch | Unverified | ThinFile | NoScore => Status::UnderReview,
            ServerError | Unavailable | Timeout | Malformed | Unauthorized => {
                return "`UNDER_REVIEW`, `PROVIDER_UNAVAILABLE`";
            }
            RateLimited => return "`UNDER_REVIEW`, `PROVIDER_UNAVAILABLE` after `jobs.timeout_ms`",
        };
        match status {
            Status::Approved => "`APPROVED`",
            Status::Rejected => "`REJECTED`",
            _ => "`UNDER_REVIEW`",
        }
    }
}

/// The simulated response to a document of `scenario`.
fn outcome(country: Country, scenario: Scenario) -> Outcome {
    let mut record = clean(country);
    match scenario {
        Approve => {}
        LowScore => record.credit_score = CreditScore::new(480),
        HighObligations => {
            let income = typical_monthly_income(country);
            record.monthly_obligations = Some(units(income * 4));
            record.total_debt = Some(units(income * 48));
        }
        Defaults => {
            record.credit_score = CreditScore::new(640);
            record.has_defaults = Some(true);
        }
        Suspended => {
            record.credit_score = CreditScore::new(700);
            record.account_status = Some(AccountStatus::Suspended);
        }
        IncomeMismatch => record.average_monthly_income = Some(units(900)),
        Unverified => record.verified = Some(false),
        NoScore => record.credit_score = None,
        NoObligations => {
            record.monthly_obligations = None;
            record.total_debt = None;
        }
        ThinFile => return Outcome::NotFound,
        ServerError => return Outcome::ServerError,
        Unavailable => return Outcome::Unavailable,
        Timeout => return Outcome::Hang,
        Malformed => return Outcome::HalfReport(record),
        Unauthorized => return Outcome::Unauthorized,
        RateLimited => return Outcome::RateLimited,
        Slow => return Outcome::SlowReport(record),
    }
    Outcome::Report(record)
}

/// The clean record of `country`: good score, low obligations, active accounts, no defaults, verified.
fn clean(country: Country) -> BureauRecord {
    let CleanFigures { score, monthly_obligations, total_debt } = simulated(country).clean;
    BureauRecord {
        reference: format!("{}-TEST", country.code()),
        accounts: Some(2),
        account_status: Some(AccountStatus::Active),
        credit_score: CreditScore::new(score),
        total_debt: Some(units(total_debt)),
        monthly_obligations: Some(units(monthly_obligations)),
        has_defaults: Some(false),
        average_monthly_income: Some(units(typical_monthly_income(country))),
        verified: Some(true),
    }
}
