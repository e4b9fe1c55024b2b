//! Portugal: NIF, euros, Banco de Portugal.
//!
//! **Document.** The Número de Identificação Fiscal has nine digits. The last is a check: the first eight, weighted
//! 9 down to 2, sum to `s`, and it is `11 - s mod 11`, or 0 where that would be 10 or 11 (Decreto-Lei 14/2013 and
//! the rules of the Autoridade Tributária). Because two remainders share the digit 0, a single wrong digit may go
//! unseen in a NIF that ends in 0; in any other it shows. Natural persons alone may apply: their numbers start with
//! 1, 2 or 3, or with 45 for people who do not live in Portugal; 5 is a company, 6 the State, 7 to 9 other bodies.
//!
//! **Rules.** Rejects: income below 800 euros, LTI above 4, DTI above 40 %, a score below 600, active defaults.
//! No rule reviews.

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

/// `config/countries/pt.toml`, where each key is explained.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_lti: Ratio,
    max_dti: Ratio,
    min_credit_score: CreditScore,
}

/// Lending in Portugal.
#[derive(Debug)]
pub struct Portugal {
    pack: RulePack,
}

impl Portugal {
    pub(super) fn new(file: &ThresholdsFile) -> Result<Self> {
        let t: Thresholds = file.parse()?;
        let rules = vec![
            Rule::reject("INCOME_TOO_LOW", Test::IncomeAtLeast(t.min_monthly_income)),
            Rule::reject("LTI_TOO_HIGH", Test::LtiAtMost(t.max_lti)),
            Rule::reject("DTI_TOO_HIGH", Test::DtiAtMost(t.max_dti)),
            Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
            Rule::reject("ACTIVE_DEFAULTS", Test::NoDefaults),
        ];
        let affordability = Affordability::Dti(t.max_dti);
        let pack = RulePack::new(Country::Pt, REVISION, &t, t.reference_annual_rate, affordability, rules)?;
        Ok(Self { pack })
    }
}

impl CountryRules for Portugal {
    fn country(&self) -> Country {
        Country::Pt
    }

    fn describe(&self) -> CountryDescription {
        let document = DocumentDescription {
            kinds: vec![DocumentKind::Nif],
            description: "NIF of a natural person (9 digits, the last one a check digit)",
            format: "^([123][0-9]|45)[0-9]{7}$",
            sample: "123456789",
        };
        CountryDescription::new(Country::Pt, document, "Banco de Portugal", &self.pack)
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
    let normalized = document::normalize_exactly::<9>(text)?;
    let digits = document::digits(normalized).ok_or(ReasonCode::BadFormat)?;
    let [body @ .., check] = digits;
    let mut reasons = vec![];
    if !matches!(normalized, [b'1' | b'2' | b'3', ..] | [b'4', b'5', ..]) {
        reasons.push(ReasonCode::NotAPerson);
    }
    let sum: u32 = body.iter().zip((2..=9).rev()).map(|(digit, weight)| digit * weight).sum();
    if (11 - sum % 11) % 11 % 10 != check {
        reasons.push(ReasonCode::BadCheckDigit);
    }
    Ok(DocumentVerdict::recognised(DocumentKind::Nif, document::to_text(&normalized), reasons, None))
}
