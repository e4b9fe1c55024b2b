//! Colombia: Cédula de Ciudadanía, Colombian pesos, DataCrédito.
//!
//! **Document.** Six to ten digits without a leading zero (Registraduría Nacional del Estado Civil; ten since
//! 2003). The number has no check digit, so a mistyped one cannot be told from another person's.
//!
//! **Rules.** Rejects: income below 1,500,000 pesos, more than 50,000,000 pesos, PTI above 40 %, a score below 600.
//! Reviews: DataCrédito has no verified record, active defaults.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::description::DocumentDescription;
use super::document::{self, DocumentKind, DocumentVerdict, ReasonCode};
use super::evaluation::RulePack;
use super::risk::Affordability;
use super::rule::{Rule, Test};
use super::thresholds::{Amount, AnnualRate, Ratio, ThresholdsFile};
use super::{CountryDescription, CountryRules};
use crate::domain::application::Country;
use crate::domain::banking::CreditScore;
use crate::domain::decision::{Case, Decision};
use crate::error::Result;

/// Raised whenever the rules below would decide an old case differently with the same figures.
const REVISION: u32 = 1;

/// `config/countries/co.toml`, where each key is explained.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_requested_amount: Amount,
    max_pti: Ratio,
    min_credit_score: CreditScore,
}

/// Lending in Colombia.
#[derive(Debug)]
pub struct Colombia {
    pack: RulePack,
}

impl Colombia {
    pub(super) fn new(file: &ThresholdsFile) -> Result<Self> {
        let t: Thresholds = file.parse()?;
        let rules = vec![
            Rule::reject("INCOME_TOO_LOW", Test::IncomeAtLeast(t.min_monthly_income)),
            Rule::reject("AMOUNT_TOO_HIGH", Test::AmountAtMost(t.max_requested_amount)),
            Rule::reject("PTI_TOO_HIGH", Test::PtiAtMost(t.max_pti)),
            Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
            Rule::review("RECORD_NOT_VERIFIED", Test::VerifiedRecord),
            Rule::review("ACTIVE_DEFAULTS", Test::NoDefaults),
        ];
        let affordability = Affordability::Pti(t.max_pti);
        let pack = RulePack::new(Country::Co, REVISION, &t, t.reference_annual_rate, affordability, rules)?;
        Ok(Self { pack })
    }
}

impl CountryRules for Colombia {
    fn country(&self) -> Country {
        Country::Co
    }

    fn describe(&self) -> CountryDescription {
        let document = DocumentDescription {
            kinds: vec![DocumentKind::Cedula],
            description: "Cédula de Ciudadanía (6 to 10 digits, the first one not 0)",
            format: "^[1-9][0-9]{5,9}$",
            sample: "1234567890",
        };
        CountryDescription::new(Country::Co, document, "DataCrédito", &self.pack)
    }

    fn check_document(&self, text: &str, _as_of: DateTime<Utc>) -> DocumentVerdict {
        check(text).unwrap_or_else(DocumentVerdict::unrecognised)
    }

    fn evaluate(&self, case: &Case) -> Decision {
        self.pack.evaluate(case)
    }

    fn rules_version(&self) -> &str {
        self.pack.version()
    }
}

fn check(text: &str) -> Result<DocumentVerdict, ReasonCode> {
    let normalized = document::normalize(text)?;
    if !(6..=10).contains(&normalized.len()) {
        return Err(ReasonCode::BadLength);
    }
    if normalized.starts_with('0') || !normalized.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ReasonCode::BadFormat);
    }
    Ok(DocumentVerdict::recognised(DocumentKind::Cedula, normalized, vec![], None))
}
