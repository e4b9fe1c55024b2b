//! Brazil: CPF, reais, Serasa Experian.
//!
//! **Document.** The Cadastro de Pessoas Físicas number has eleven digits, the last two checks (Receita Federal,
//! Instrução Normativa RFB): the first nine weighted 10 down to 2 sum to `s`, and the first check digit is
//! `11 - s mod 11`, or 0 where that is 10 or 11; the second is reckoned likewise over ten digits with weights 11 to
//! 2. Numbers of eleven equal digits satisfy both and are never issued. Because two remainders share the digit 0,
//! a single wrong digit may go unseen in a CPF whose first check digit is 0; in any other it shows.
//!
//! **Rules.** Rejects: income below 2,000 reais, more than 100,000 reais, LTI above 5, DTI above 35 %, a score below
//! 550 (mapped from Serasa's 0 to 1000). Reviews: active defaults.

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

/// `config/countries/br.toml`, where each key is explained.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_requested_amount: Amount,
    max_lti: Ratio,
    max_dti: Ratio,
    min_credit_score: CreditScore,
}

/// Lending in Brazil.
#[derive(Debug)]
pub struct Brazil {
    pack: RulePack,
}

impl Brazil {
    pub(super) fn new(file: &ThresholdsFile) -> Result<Self> {
        let t: Thresholds = file.parse()?;
        let rules = vec![
            Rule::reject("INCOME_TOO_LOW", Test::IncomeAtLeast(t.min_monthly_income)),
            Rule::reject("AMOUNT_TOO_HIGH", Test::AmountAtMost(t.max_requested_amount)),
            Rule::reject("LTI_TOO_HIGH", Test::LtiAtMost(t.max_lti)),
            Rule::reject("DTI_TOO_HIGH", Test::DtiAtMost(t.max_dti)),
            Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
            Rule::review("ACTIVE_DEFAULTS", Test::NoDefaults),
        ];
        let affordability = Affordability::Dti(t.max_dti);
        let pack = RulePack::new(Country::Br, REVISION, &t, t.reference_annual_rate, affordability, rules)?;
        Ok(Self { pack })
    }
}

impl CountryRules for Brazil {
    fn country(&self) -> Country {
        Country::Br
    }

    fn describe(&self) -> CountryDescription {
        let document = DocumentDescription {
            kinds: vec![DocumentKind::Cpf],
            description: "CPF (11 digits, the last two check digits)",
            format: "^[0-9]{11}$",
            sample: "12345678909",
        };
        CountryDescription::new(Country::Br, document, "Serasa Experian", &self.pack)
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
    let normalized = document::normalize_exactly::<11>(text)?;
    let digits = document::digits(normalized).ok_or(ReasonCode::BadFormat)?;
    let [first, others @ ..] = digits;
    let [ten @ .., second_check] = digits;
    let [nine @ .., first_check] = ten;
    let mut reasons = vec![];
    if others.iter().all(|digit| *digit == first) {
        reasons.push(ReasonCode::RepeatedDigits);
    }
    if check_digit(&nine) != first_check || check_digit(&ten) != second_check {
        reasons.push(ReasonCode::BadCheckDigit);
    }
    Ok(DocumentVerdict::recognised(DocumentKind::Cpf, document::to_text(&normalized), reasons, None))
}

/// The check digit of `digits`: the last of them weighs 2, each one before it one more.
fn check_digit(digits: &[u32]) -> u32 {
    let sum: u32 = digits.iter().rev().zip(2..).map(|(digit, weight)| digit * weight).sum();
    (11 - sum % 11) % 11 % 10
}
