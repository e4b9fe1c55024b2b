//! Italy: Codice Fiscale, euros, CRIF.
//!
//! **Document.** Sixteen characters (Decreto del Ministro delle Finanze, 23 December 1976): three letters of the
//! surname, three of the name, two digits of the year of birth, a letter for the month, two digits for the day
//! (women's days are 40 higher), the letter and three digits of the place of birth, a check letter. Where two
//! people would share a code, the register replaces digits by letters (omocodia): `LMNPQRSTUV` stand for 0 to 9 in
//! any of the seven places that hold digits. The check letter is reckoned over the code as it is written: each of
//! the first fifteen characters has one value in odd and another in even places, and their sum modulo 26 is the
//! letter. In each place the values of all characters allowed there differ, so any single wrong character shows.
//!
//! The code has no century: it is the latest one in which the day is not in the future, in Rome. So whoever is
//! past a hundred is taken for a child and refused as `underage`; a human can help them, a rule cannot.
//! Whether the letters of a name are plausible is not checked: foreign names break every pattern.
//!
//! **Rules.** Rejects: income below 1,200 euros, more than 50,000 euros, DTI above 35 %, a score below 600, active
//! defaults. Reviews: the bureau's average income is more than 20 % of the declared income away from it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::description::DocumentDescription;
use super::document::{self, DocumentKind, DocumentVerdict, DocumentedPerson, ReasonCode, Sex};
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

/// `config/countries/it.toml`, where each key is explained.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_requested_amount: Amount,
    max_dti: Ratio,
    min_credit_score: CreditScore,
    max_income_deviation: Ratio,
}

/// Lending in Italy.
#[derive(Debug)]
pub struct Italy {
    pack: RulePack,
}

impl Italy {
    pub(super) fn new(file: &ThresholdsFile) -> Result<Self> {
        let t: Thresholds = file.parse()?;
        let rules = vec![
            Rule::reject("INCOME_TOO_LOW", Test::IncomeAtLeast(t.min_monthly_income)),
            Rule::reject("AMOUNT_TOO_HIGH", Test::AmountAtMost(t.max_requested_amount)),
            Rule::reject("DTI_TOO_HIGH", Test::DtiAtMost(t.max_dti)),
            Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
            Rule::reject("ACTIVE_DEFAULTS", Test::NoDefaults),
            Rule::review("INCOME_MISMATCH", Test::AverageIncomeWithin(t.max_income_deviation)),
        ];
        let affordability = Affordability::Dti(t.max_dti);
        let pack = RulePack::new(Country::It, REVISION, &t, t.reference_annual_rate, affordability, rules)?;
        Ok(Self { pack })
    }
}

impl CountryRules for Italy {
    fn country(&self) -> Country {
        Country::It
    }

    fn describe(&self) -> CountryDescription {
        let document = DocumentDescription {
            kinds: vec![DocumentKind::CodiceFiscale],
            description: "Codice Fiscale (16 characters) of a person of 18 years or more",
            format: "^[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]$",
            sample: "RSSMRA80A01H501U",
        };
        CountryDescription::new(Country::It, document, "CRIF", &self.pack)
    }

    fn check_document(&self, text: &str, as_of: DateTime<Utc>) -> DocumentVerdict {
        let today = document::local_date(as_of, chrono_tz::Europe::Rome);
        check(text, today).unwrap_or_else(DocumentVerdict::unrecognised)
    }

    fn evaluate(&self, case: &Case) -> Decision {
        self.pack.evaluate(case)
    }

    fn rules_version(&self) -> &str {
        self.pack.version()
    }
}

/// The letters of the months, January to December.
const MONTHS: [u8; 12] = *b"ABCDEHLMPRST";

/// The letters that stand for the digits 0 to 9 under omocodia.
const OMOCODIA: [u8; 10] = *b"LMNPQRSTUV";

/// The values of A to Z in odd places. The digits 0 to 9 have those of A to J.
const ODD_VALUES: [u32; 26] =
    [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

fn check(text: &str, today: NaiveDate) -> Result<DocumentVerdict, ReasonCode> {
    let code = document::normalize_exactly::<16>(text)?;
    let [s1, s2, s3, n1, n2, n3, y1, y2, month, d1, d2, place, p1, p2, p3, check] = code;
    if ![s1, s2, s3, n1, n2, n3, place, check].iter().all(u8::is_ascii_uppercase) {
        return Err(ReasonCode::BadFormat);
    }
    let month = (1..).zip(MONTHS).find(|(_, letter)| *letter == month).map(|(number, _)| number);
    let (Some(month), Some(year), Some(day), Some(_)) =
        (month, written_number([y1, y2]), written_number([d1, d2]), written_number([p1, p2, p3]))
    else {
        return Err(ReasonCode::BadFormat);
    };

    let mut reasons = vec![];
    let person = match person(year, month, day, today) {
        Ok(person) => Some(person),
        Err(reason) => {
            reasons.push(reason);
            None
        }
    };
    if check_letter(code) != check {
        reasons.push(ReasonCode::BadCheckDigit);
    }
    let kind = DocumentKind::CodiceFiscale;
    Ok(DocumentVerdict::recognised(kind, document::to_text(&code), reasons, person))
}

fn person(year: u32, month: u32, day: u32, today: NaiveDate) -> Result<DocumentedPerson, ReasonCode> {
    let (sex, day) = if day > 40 { (Sex::Female, day - 40) } else { (Sex::Male, day) };
    let birth_date = document::latest_past_date(year, month, day, today).ok_or(ReasonCode::BadDate)?;
    if document::is_adult(birth_date, today) {
        Ok(DocumentedPerson { birth_date, sex })
    } else {
        Err(ReasonCode::Underage)
    }
}

/// The number that the characters write, omocodia resolved.
fn written_number<const N: usize>(characters: [u8; N]) -> Option<u32> {
    let resolved = characters.map(|character| {
        (b'0'..=b'9').zip(OMOCODIA).find(|(_, letter)| *letter == character).map_or(character, |(d, _)| d)
    });
    document::digits(resolved).map(|digits| document::number(&digits))
}

fn check_letter(code: [u8; 16]) -> u8 {
    let [body @ .., _] = code;
    let odd = body.iter().step_by(2).map(|character| odd_value(*character)).sum::<u32>();
    let even = body.iter().skip(1).step_by(2).map(|character| even_value(*character)).sum::<u32>();
    let remainder = (odd + even) % 26;
    (b'A'..=b'Z').zip(0..).find(|(_, value)| *value == remainder).map_or(b'A', |(letter, _)| letter)
}

/// The rank of the character: 0 for `0` and `A`, 1 for `1` and `B`, and so on.
fn even_value(character: u8) -> u32 {
    let first = if character.is_ascii_digit() { b'0' } else { b'A' };
    u32::from(character.saturating_sub(first))
}

fn odd_value(character: u8) -> u32 {
    let rank = even_value(character);
    ODD_VALUES.iter().zip(0..).find(|(_, place)| *place == rank).map_or(0, |(value, _)| *value)
}
