//! The test documents: one document per country and possible answer of a bureau.
//!
//! [`TEST_DOCUMENTS`] is the single definition: the simulator looks up its answers there, tests iterate over it, and a
//! test compares it with `docs/providers.md`. Every document passes its country's official check. Apart from the
//! samples of the specification, the same two digits mean the same scenario in every country (`90000004S`, `200000047`,
//! `RSSMRA80A04H501D`, … all have defaults).

use super::record::{BureauRecord, typical_monthly_income, units};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, CreditScore};

use Country::{Br, Co, Es, It, Mx, Pt};
use Scenario::{
    Approve, Defaults, HighObligations, IncomeMismatch, LowScore, Malformed, NoObligations, NoScore,
    RateLimited, ServerError, Slow, Suspended, ThinFile, Timeout, Unauthorized, Unavailable, Unverified,
};

/// The scenario that a test document selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scenario {
    /// A clean record.
    Approve,
    /// A score of 480, below every country's minimum.
    LowScore,
    /// Obligations of four typical monthly incomes, above the DTI limit for any ordinary income.
    HighObligations,
    /// Active defaults, score 640.
    Defaults,
    /// Accounts suspended, score 700.
    Suspended,
    /// An average income of 900.00, which deviates by more than 20 % from every income accepted in Italy.
    IncomeMismatch,
    /// A record that is not verified.
    Unverified,
    /// An unknown person: 404.
    ThinFile,
    /// A report without a score.
    NoScore,
    /// A report without obligations and debts.
    NoObligations,
    /// 500 on every call.
    ServerError,
    /// 503 on every call.
    Unavailable,
    /// No answer within any timeout.
    Timeout,
    /// 200 with a truncated report.
    Malformed,
    /// 401, as for wrong credentials.
    Unauthorized,
    /// 429 with `Retry-After`.
    RateLimited,
    /// The clean record, but slower than the breaker's threshold of 3 s.
    Slow,
}

#[derive(Debug, Clone, Copy)]
/// A row of [`TEST_DOCUMENTS`].
pub struct TestDocument {
    /// The country of the document.
    pub country: Country,
    /// The document, normalized.
    pub document: &'static str,
    /// The scenario that it selects.
    pub scenario: Scenario,
}

/// Whether a normalized document is a test document.
pub fn is_test_document(country: Country, document: &str) -> bool {
    TEST_DOCUMENTS.iter().any(|row| row.country == country && row.document == document)
}

const fn row(country: Country, document: &'static str, scenario: Scenario) -> TestDocument {
    TestDocument { country, document, scenario }
}

/// Every test document.
pub const TEST_DOCUMENTS: &[TestDocument] = &[
    row(Es, "12345678Z", Approve),
    row(Es, "90000002J", LowScore),
    row(Es, "90000003Z", HighObligations),
    row(Es, "90000004S", Defaults),
    row(Es, "90000005Q", Suspended),
    row(Es, "90000008L", ThinFile),
    row(Es, "90000009C", NoScore),
    row(Es, "90000010K", NoObligations),
    row(Es, "90000011E", ServerError),
    row(Es, "90000012T", Unavailable),
    row(Es, "90000013R", Timeout),
    row(Es, "90000014W", Malformed),
    row(Es, "90000015A", Unauthorized),
    row(Es, "90000016G", RateLimited),
    row(Es, "90000017M", Slow),
    row(Pt, "123456789", Approve),
    row(Pt, "200000020", LowScore),
    row(Pt, "200000039", HighObligations),
    row(Pt, "200000047", Defaults),
    row(Pt, "200000055", Suspended),
    row(Pt, "200000080", ThinFile),
    row(Pt, "200000098", NoScore),
    row(Pt, "200000101", NoObligations),
    row(Pt, "200000110", ServerError),
    row(Pt, "200000128", Unavailable),
    row(Pt, "200000136", Timeout),
    row(Pt, "200000144", Malformed),
    row(Pt, "200000152", Unauthorized),
    row(Pt, "200000160", RateLimited),
    row(Pt, "200000179", Slow),
    row(It, "RSSMRA80A01H501U", Approve),
    row(It, "RSSMRA80A02H501Z", LowScore),
    row(It, "RSSMRA80A03H501B", HighObligations),
    row(It, "RSSMRA80A04H501D", Defaults),
    row(It, "RSSMRA80A05H501H", Suspended),
    row(It, "RSSMRA80A06H501J", IncomeMismatch),
    row(It, "RSSMRA80A08H501N", ThinFile),
    row(It, "RSSMRA80A09H501P", NoScore),
    row(It, "RSSMRA80A10H501W", NoObligations),
    row(It, "RSSMRA80A11H501V", ServerError),
    row(It, "RSSMRA80A12H501A", Unavailable),
    row(It, "RSSMRA80A13H501C", Timeout),
    row(It, "RSSMRA80A14H501E", Malformed),
    row(It, "RSSMRA80A15H501I", Unauthorized),
    row(It, "RSSMRA80A16H501K", RateLimited),
    row(It, "RSSMRA80A17H501M", Slow),
    row(Mx, "HERM850101MDFRRR08", Approve),
    row(Mx, "HERM850102MDFRRR09", LowScore),
    row(Mx, "HERM850104MDFRRR01", Defaults),
    row(Mx, "HERM850105MDFRRR02", Suspended),
    row(Mx, "HERM850108MDFRRR05", ThinFile),
    row(Mx, "HERM850109MDFRRR06", NoScore),
    row(Mx, "HERM850110MDFRRR07", NoObligations),
    row(Mx, "HERM850111MDFRRR08", ServerError),
    row(Mx, "HERM850112MDFRRR09", Unavailable),
    row(Mx, "HERM850113MDFRRR00", Timeout),
    row(Mx, "HERM850114MDFRRR01", Malformed),
    row(Mx, "HERM850115MDFRRR02", Unauthorized),
    row(Mx, "HERM850116MDFRRR03", RateLimited),
    row(Mx, "HERM850117MDFRRR04", Slow),
    row(Co, "1234567890", Approve),
    row(Co, "1000000002", LowScore),
    row(Co, "1000000004", Defaults),
    row(Co, "1000000005", Suspended),
    row(Co, "1000000007", Unverified),
    row(Co, "1000000008", ThinFile),
    row(Co, "1000000009", NoScore),
    row(Co, "1000000010", NoObligations),
    row(Co, "1000000011", ServerError),
    row(Co, "1000000012", Unavailable),
    row(Co, "1000000013", Timeout),
    row(Co, "1000000014", Malformed),
    row(Co, "1000000015", Unauthorized),
    row(Co, "1000000016", RateLimited),
    row(Co, "1000000017", Slow),
    row(Br, "12345678909", Approve),
    row(Br, "10000000280", LowScore),
    row(Br, "10000000361", HighObligations),
    row(Br, "10000000442", Defaults),
    row(Br, "10000000523", Suspended),
    row(Br, "10000000876", ThinFile),
    row(Br, "10000000957", NoScore),
    row(Br, "10000001090", NoObligations),
    row(Br, "10000001171", ServerError),
    row(Br, "10000001252", Unavailable),
    row(Br, "10000001333", Timeout),
    row(Br, "10000001414", Malformed),
    row(Br, "10000001503", Unauthorized),
    row(Br, "10000001686", RateLimited),
    row(Br, "10000001767", Slow),
];

/// The simulated bureau's reaction to a document.
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
    /// No answer.
    Hang,
}

impl TestDocument {
    /// The simulated reaction to this document.
    pub fn outcome(&self) -> Outcome {
        let mut record = clean(self.country);
        match self.scenario {
            Approve => {}
            LowScore => record.credit_score = CreditScore::new(480),
            HighObligations => {
                let income = typical_monthly_income(self.country);
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

    /// The answer in words, for the documentation.
    pub const fn answer(&self) -> &'static str {
        match self.scenario {
            Approve => "clean record",
            LowScore => "score 480",
            HighObligations => "obligations of four typical monthly incomes",
            Defaults => "active defaults, score 640",
            Suspended => "accounts suspended, score 700",
            IncomeMismatch => "average income 900.00",
            Unverified => "record not verified",
            ThinFile => "404: nobody by that document",
            NoScore => "report without a score",
            NoObligations => "report without obligations and debts",
            ServerError => "500, every time",
            Unavailable => "503, every time",
            Timeout => "no answer for 60 s",
            Malformed => "200 with half a report",
            Unauthorized => "401",
            RateLimited => "429 with `Retry-After: 2`",
            Slow => "clean record after 4 s",
        }
    }

    /// The effect on an otherwise acceptable application, for the documentation.
    pub const fn effect(&self) -> &'static str {
        match (self.scenario, self.country) {
            (Approve | Suspended | Slow, _) | (NoObligations, Mx | Co) => "`APPROVED`",
            (LowScore | HighObligations, _) | (Defaults, Es | Pt | It) => "`REJECTED`",
            (IncomeMismatch | Unverified | ThinFile | NoScore | NoObligations | Defaults, _) => {
                "`UNDER_REVIEW`"
            }
            (ServerError | Unavailable | Timeout | Malformed | Unauthorized, _) => {
                "`UNDER_REVIEW`, `PROVIDER_UNAVAILABLE`"
            }
            (RateLimited, _) => "`UNDER_REVIEW`, `PROVIDER_UNAVAILABLE` after `jobs.timeout_ms`",
        }
    }
}

/// The clean record of `country`: good score, low obligations, active accounts, no defaults, verified.
fn clean(country: Country) -> BureauRecord {
    let (score, monthly_obligations, total_debt) = match country {
        Es => (720, 300, 9_000),
        Pt => (735, 120, 3_600),
        It => (750, 150, 5_400),
        Mx => (740, 1_500, 36_000),
        Co => (730, 350_000, 8_400_000),
        Br => (760, 450, 10_800),
    };
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
