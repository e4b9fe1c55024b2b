//! Spain: DNI and NIE, euros, ASNEF-CIRBE.
//!
//! **Documents.** A DNI is eight digits and a letter; a NIE is X, Y or Z, seven digits and a letter. The letter is
//! a check: the number modulo 23 chooses it from a fixed alphabet, with X, Y and Z standing for 0, 1 and 2 (DNI:
//! Real Decreto 1553/2005; NIE: Orden INT/2058/2008). 23 is prime and larger than ten, so any single wrong digit
//! shows; only a first digit of 0, 1 or 2 replaced by X, Y or Z is another document with the same number.
//! Company numbers (NIF with a leading letter) have another shape and are `bad_format`.
//!
//! **Rules.** Rejects: DTI of 40 % or more, a score below 600, active defaults. Reviews: more than 20,000 euros.

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

/// `config/countries/es.toml`, where each key is explained.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    dti_limit: Ratio,
    min_credit_score: CreditScore,
    review_amount_above: Amount,
}

/// Lending in Spain.
#[derive(Debug)]
pub struct Spain {
    pack: RulePack,
}

impl Spain {
    pub(super) fn new(file: &ThresholdsFile) -> Result<Self> {
        let t: Thresholds = file.parse()?;
        let rules = vec![
            Rule::reject("DTI_TOO_HIGH", Test::DtiBelow(t.dti_limit)),
            Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
            Rule::reject("ACTIVE_DEFAULTS", Test::NoDefaults),
            Rule::review("AMOUNT_NEEDS_REVIEW", Test::AmountAtMost(t.review_amount_above)),
        ];
        let affordability = Affordability::Dti(t.dti_limit);
        let pack = RulePack::new(Country::Es, REVISION, &t, t.reference_annual_rate, affordability, rules)?;
        Ok(Self { pack })
    }
}

impl CountryRules for Spain {
    fn country(&self) -> Country {
        Country::Es
    }

    fn describe(&self) -> CountryDescription {
        let document = DocumentDescription {
            kinds: vec![DocumentKind::Dni, DocumentKind::Nie],
            description: "DNI (8 digits and a check letter) or NIE (X, Y or Z, 7 digits and a check letter)",
            format: "^([0-9]{8}|[XYZ][0-9]{7})[A-Z]$",
            sample: "12345678Z",
        };
        CountryDescription::new(Country::Es, document, "ASNEF-CIRBE", &self.pack)
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

/// The check letters, by the number modulo 23.
const LETTERS: [u8; 23] = *b"TRWAGMYFPDXBNJZSQVHLCKE";

fn check(text: &str) -> Result<DocumentVerdict, ReasonCode> {
    let normalized = document::normalize_exactly::<9>(text)?;
    let [first, rest @ .., letter] = normalized;
    let (kind, first) = match first {
        b'0'..=b'9' => (DocumentKind::Dni, first),
        b'X' => (DocumentKind::Nie, b'0'),
        b'Y' => (DocumentKind::Nie, b'1'),
        b'Z' => (DocumentKind::Nie, b'2'),
        _ => return Err(ReasonCode::BadFormat),
    };
    let [head] = document::digits([first]).ok_or(ReasonCode::BadFormat)?;
    let tail: [u32; 7] = document::digits(rest).ok_or(ReasonCode::BadFormat)?;
    if !letter.is_ascii_uppercase() {
        return Err(ReasonCode::BadFormat);
    }
    let number = head * 10_000_000 + document::number(&tail);
    let expected = LETTERS.iter().zip(0u32..).find(|(_, place)| *place == number % 23);
    let reasons = match expected {
        Some((expected, _)) if *expected == letter => vec![],
        _ => vec![ReasonCode::BadCheckDigit],
    };
    Ok(DocumentVerdict::recognised(kind, document::to_text(&normalized), reasons, None))
}
