//! Mexico: CURP, Mexican pesos, Buró de Crédito.
//!
//! **Document.** Eighteen characters (RENAPO, *Instructivo normativo para la asignación de la CURP*): the first
//! letter and the first inner vowel of the first surname, the initials of the second surname and the name (X where
//! there is none), the birth date as `YYMMDD`, the sex (H, M, or X), the state of birth, the first inner consonants
//! of surnames and name, a character that tells homonyms apart, a check digit. The 17th is a digit for people born
//! before 2000 and a letter after, which settles the century.
//!
//! The check digit weighs the values of the first seventeen characters with 18 down to 2; a value is the place in
//! `0-9 A-N Ñ O-Z`, which counts Ñ although no document of ours holds one. Since it is reckoned modulo 10 and most
//! weights share a factor with 10, some single wrong characters go unseen: those whose value differs by `d` in a
//! place of weight `w` with `w * d` a multiple of 10.
//!
//! RENAPO never issues a CURP that starts with one of 81 rude words: it puts an X for the second letter.
//!
//! **Rules.** Rejects: income below 5,000 pesos, LTI above 3, PTI above 30 %, a score below 550. Reviews: active
//! defaults.

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

/// `config/countries/mx.toml`, where each key is explained.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_lti: Ratio,
    max_pti: Ratio,
    min_credit_score: CreditScore,
}

/// Lending in Mexico.
#[derive(Debug)]
pub struct Mexico {
    pack: RulePack,
}

impl Mexico {
    pub(super) fn new(file: &ThresholdsFile) -> Result<Self> {
        let t: Thresholds = file.parse()?;
        let rules = vec![
            Rule::reject("INCOME_TOO_LOW", Test::IncomeAtLeast(t.min_monthly_income)),
            Rule::reject("LTI_TOO_HIGH", Test::LtiAtMost(t.max_lti)),
            Rule::reject("PTI_TOO_HIGH", Test::PtiAtMost(t.max_pti)),
            Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
            Rule::review("ACTIVE_DEFAULTS", Test::NoDefaults),
        ];
        let affordability = Affordability::Pti(t.max_pti);
        let pack = RulePack::new(Country::Mx, REVISION, &t, t.reference_annual_rate, affordability, rules)?;
        Ok(Self { pack })
    }
}

impl CountryRules for Mexico {
    fn country(&self) -> Country {
        Country::Mx
    }

    fn describe(&self) -> CountryDescription {
        let document = DocumentDescription {
            kinds: vec![DocumentKind::Curp],
            description: "CURP (18 characters) of a person of 18 years or more",
            format: "^[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]$",
            sample: "HERM850101MDFRRR08",
        };
        CountryDescription::new(Country::Mx, document, "Buró de Crédito", &self.pack)
    }

    fn check_document(&self, text: &str, as_of: DateTime<Utc>) -> DocumentVerdict {
        let today = document::local_date(as_of, chrono_tz::America::Mexico_City);
        check(text, today).unwrap_or_else(DocumentVerdict::unrecognised)
    }

    fn evaluate(&self, case: &Case) -> Decision {
        self.pack.evaluate(case)
    }

    fn rules_version(&self) -> &str {
        self.pack.version()
    }
}

/// The 32 states and NE for people born abroad.
const STATES: [&[u8; 2]; 33] = [
    b"AS", b"BC", b"BS", b"CC", b"CL", b"CM", b"CS", b"CH", b"DF", b"DG", b"GT", b"GR", b"HG", b"JC", b"MC",
    b"MN", b"MS", b"NT", b"NL", b"OC", b"PL", b"QT", b"QR", b"SP", b"SL", b"SR", b"TC", b"TS", b"TL", b"VZ",
    b"YN", b"ZS", b"NE",
];

/// RENAPO's list of words that no CURP starts with (*palabras altisonantes*).
const BLOCKED_WORDS: [&[u8; 4]; 81] = [
    b"BACA", b"BAKA", b"BUEI", b"BUEY", b"CACA", b"CACO", b"CAGA", b"CAGO", b"CAKA", b"CAKO", b"COGE",
    b"COGI", b"COJA", b"COJE", b"COJI", b"COJO", b"COLA", b"CULO", b"FALO", b"FETO", b"GETA", b"GUEI",
    b"GUEY", b"JETA", b"JOTO", b"KACA", b"KACO", b"KAGA", b"KAGO", b"KAKA", b"KAKO", b"KOGE", b"KOGI",
    b"KOJA", b"KOJE", b"KOJI", b"KOJO", b"KOLA", b"KULO", b"LILO", b"LOCA", b"LOCO", b"LOKA", b"LOKO",
    b"MAME", b"MAMO", b"MEAR", b"MEAS", b"MEON", b"MIAR", b"MION", b"MOCO", b"MOKO", b"MULA", b"MULO",
    b"NACA", b"NACO", b"PEDA", b"PEDO", b"PENE", b"PIPI", b"PITO", b"POPO", b"PUTA", b"PUTO", b"QULO",
    b"RATA", b"ROBA", b"ROBE", b"ROBO", b"RUIN", b"SENO", b"TETA", b"VACA", b"VAGA", b"VAGO", b"VAKA",
    b"VUEI", b"VUEY", b"WUEI", b"WUEY",
];

fn check(text: &str, today: NaiveDate) -> Result<DocumentVerdict, ReasonCode> {
    let curp = document::normalize_exactly::<18>(text)?;
    let [a, b, c, d, y1, y2, m1, m2, d1, d2, sex, s1, s2, k1, k2, k3, homonym, check] = curp;
    let letters = [a, c, d, s1, s2].iter().all(u8::is_ascii_uppercase);
    let vowel = is_vowel(b) || b == b'X';
    let consonants = [k1, k2, k3].iter().all(|k| k.is_ascii_uppercase() && !is_vowel(*k));
    let (Some(date), Some(sex), Some([check])) =
        (document::digits([y1, y2, m1, m2, d1, d2]), sex_of(sex), document::digits([check]))
    else {
        return Err(ReasonCode::BadFormat);
    };
    if !(letters && vowel && consonants) {
        return Err(ReasonCode::BadFormat);
    }

    let mut reasons = vec![];
    if BLOCKED_WORDS.contains(&&[a, b, c, d]) {
        reasons.push(ReasonCode::BlockedWord);
    }
    let birth_date = birth_date(date, homonym, today);
    match birth_date {
        Some(birth) if document::is_adult(birth, today) => {}
        Some(_) => reasons.push(ReasonCode::Underage),
        None => reasons.push(ReasonCode::BadDate),
    }
    if !STATES.contains(&&[s1, s2]) {
        reasons.push(ReasonCode::BadState);
    }
    if check_digit(curp) != check {
        reasons.push(ReasonCode::BadCheckDigit);
    }
    let person = birth_date.map(|birth_date| DocumentedPerson { birth_date, sex });
    Ok(DocumentVerdict::recognised(DocumentKind::Curp, document::to_text(&curp), reasons, person))
}

const fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'A' | b'E' | b'I' | b'O' | b'U')
}

const fn sex_of(letter: u8) -> Option<Sex> {
    match letter {
        b'H' => Some(Sex::Male),
        b'M' => Some(Sex::Female),
        b'X' => Some(Sex::NonBinary),
        _ => None,
    }
}

/// The day that `YYMMDD` names in the century that the 17th character tells; `None` when the calendar does not
/// have it or it is still to come.
fn birth_date([y1, y2, m1, m2, d1, d2]: [u32; 6], homonym: u8, today: NaiveDate) -> Option<NaiveDate> {
    let century = if homonym.is_ascii_digit() { 1900 } else { 2000 };
    let year = i32::try_from(document::number(&[y1, y2])).ok()?;
    NaiveDate::from_ymd_opt(century + year, document::number(&[m1, m2]), document::number(&[d1, d2]))
        .filter(|date| *date <= today)
}

fn check_digit(curp: [u8; 18]) -> u32 {
    let [body @ .., _] = curp;
    let sum: u32 =
        body.iter().zip((2..=18).rev()).map(|(character, weight)| value(*character) * weight).sum();
    (10 - sum % 10) % 10
}

/// The place in `0-9 A-N Ñ O-Z`: 0 to 36, where 24 is the Ñ.
fn value(character: u8) -> u32 {
    let (first, its_value) = match character {
        b'0'..=b'9' => (b'0', 0),
        b'A'..=b'N' => (b'A', 10),
        _ => (b'O', 25),
    };
    its_value + u32::from(character.saturating_sub(first))
}
