//! Mexico: CURP, Mexican pesos, Buró de Crédito.
//!
//! **Document.** Eighteen characters (RENAPO, *Instructivo normativo para la asignación de la CURP*): the first letter
//! and the first inner vowel of the first surname, the initials of the second surname and the first name (X if
//! missing), the birth date as `YYMMDD`, the sex (H, M or X), the state of birth, the first inner consonants of the
//! surnames and the first name, a character that distinguishes homonyms, and a check digit. The 17th character is a
//! digit for people born before 2000 and otherwise a letter, which determines the century.
//!
//! For the check digit, the values of the first seventeen characters are weighted 18 down to 2. A value is the position
//! in `0-9 A-N Ñ O-Z`, including Ñ, although no valid CURP contains it. The sum is taken modulo 10, and most weights share
//! a factor with 10. Therefore a single wrong character goes undetected if `w * d` is a multiple of 10, where `w` is the
//! weight of its position and `d` is the difference of the values.
//!
//! RENAPO never issues a CURP that starts with one of 81 offensive words: it replaces the second letter with X.
//!
//! **Rules.** Rejects: income below 5,000 pesos, LTI above 3, PTI above 30 %, a score below 550. Reviews: active
//! defaults.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::data::{DataKind, DataMember};
use super::definition::{Definition, DocumentCheck};
use super::description::DocumentDescription;
use super::document::{self, DocumentKind, DocumentVerdict, DocumentedPerson, ReasonCode, Sex};
use super::evaluation::RulePack;
use super::risk::Affordability;
use super::rule::{Rule, Test};
use super::thresholds::{Amount, AnnualRate, Ratio, ThresholdsFile};
use crate::domain::application::Country;
use crate::domain::banking::CreditScore;
use crate::error::Result;

pub(super) static MEXICO: Definition = Definition {
    country: Country::Mx,
    bureau: "Buró de Crédito",
    document: DocumentDescription {
        kinds: &[DocumentKind::Curp],
        description: "CURP (18 characters) of a person aged 18 or over",
        format: "^[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]$",
        sample: "HERM850101MDFRRR08",
    },
    check: DocumentCheck::Dated(chrono_tz::America::Mexico_City, check),
    has_check_characters: true,
    members: &[
        DataMember::personal("clabe", DataKind::Code(18, 18), "The account for the payout (CLABE)"),
        DataMember::personal("rfc", DataKind::Code(12, 13), "The tax number (RFC)"),
        DataMember::open("state", DataKind::Text(60), "The state of residence"),
    ],
    thresholds: include_str!("../../config/countries/mx.toml"),
    rules,
    #[cfg(test)]
    expected: tests::EXPECTED,
};

/// Increment this when a change to the rules below would decide an earlier case differently with the same thresholds.
const REVISION: u32 = 1;

/// `config/countries/mx.toml`, which explains each key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_lti: Ratio,
    max_pti: Ratio,
    min_credit_score: CreditScore,
}

fn rules(file: &ThresholdsFile) -> Result<RulePack> {
    let t: Thresholds = file.parse()?;
    let rules = vec![
        Rule::reject("INCOME_TOO_LOW", Test::IncomeAtLeast(t.min_monthly_income)),
        Rule::reject("LTI_TOO_HIGH", Test::LtiAtMost(t.max_lti)),
        Rule::reject("PTI_TOO_HIGH", Test::PtiAtMost(t.max_pti)),
        Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
        Rule::review("ACTIVE_DEFAULTS", Test::NoDefaults),
    ];
    let affordability = Affordability::Pti(t.max_pti);
    RulePack::new(Country::Mx, REVISION, &t, t.reference_annual_rate, affordability, rules)
}

/// The 32 states, and NE for people born abroad.
const STATES: [&[u8; 2]; 33] = [
    b"AS", b"BC", b"BS", b"CC", b"CL", b"CM", b"CS", b"CH", b"DF", b"DG", b"GT", b"GR", b"HG", b"JC", b"MC",
    b"MN", b"MS", b"NT", b"NL", b"OC", b"PL", b"QT", b"QR", b"SP", b"SL", b"SR", b"TC", b"TS", b"TL", b"VZ",
    b"YN", b"ZS", b"NE",
];

/// Words that no CURP starts with, from RENAPO's list (*palabras altisonantes*).
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
    Ok(DocumentVerdict::recognized(DocumentKind::Curp, document::to_text(&curp), reasons, person))
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

/// The date `YYMMDD` in the century given by the 17th character. `None` if it does not exist or is in the future.
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

/// The position in `0-9 A-N Ñ O-Z`: 0 to 36, of which 24 is Ñ.
fn value(character: u8) -> u32 {
    let (first, first_value) = match character {
        b'0'..=b'9' => (b'0', 0),
        b'A'..=b'N' => (b'A', 10),
        _ => (b'O', 25),
    };
    first_value + u32::from(character.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::super::table::{
        DecisionRow, DocumentRow, Expected, UNKNOWN, changed, check, moment, replacement, report, row,
    };
    use super::super::{Countries, DocumentVerdict, ReasonCode, Sex};
    use super::{BLOCKED_WORDS, STATES};
    use crate::domain::application::Country;
    use crate::domain::banking::AccountStatus::{Closed, Inactive, Suspended, Unknown};
    use crate::domain::decision::Outcome::{Approved, Rejected, UnderReview};
    use crate::domain::decision::RuleKind::{Reject, Review};
    use chrono::{DateTime, NaiveDate, Utc};
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use std::collections::HashSet;

    pub(in super::super) const EXPECTED: Expected = Expected {
        rules_version: "mx-920b0c2bfd061fbc",
        reference_annual_rate: "0.3",
        rules: &[
            ("INCOME_TOO_LOW", Reject, Some("5000.00")),
            ("LTI_TOO_HIGH", Reject, Some("3")),
            ("PTI_TOO_HIGH", Reject, Some("0.3")),
            ("SCORE_TOO_LOW", Reject, Some("550")),
            ("ACTIVE_DEFAULTS", Review, None),
        ],
        documents: DOCUMENTS,
        valid_document: || mexican().boxed(),
        cases,
    };

    const DOCUMENTS: &[DocumentRow] = &[
        ("HERM850101MDFRRR08", Ok("HERM850101MDFRRR08")),
        ("HEGG560427MVZRRL04", Ok("HEGG560427MVZRRL04")),
        ("BOXW310820HNERXN09", Ok("BOXW310820HNERXN09")),
        ("SABC560626MDFLRN01", Ok("SABC560626MDFLRN01")),
        ("PXRA000229HJCRZNA9", Ok("PXRA000229HJCRZNA9")),
        ("GOMA080520HASMRLA1", Ok("GOMA080520HASMRLA1")),
        ("LOXX000101HZSPXXA3", Ok("LOXX000101HZSPXXA3")),
        ("ZUZZ991231XNEZZZ96", Ok("ZUZZ991231XNEZZZ96")),
        ("AXAA000101MQRBCDB5", Ok("AXAA000101MQRBCDB5")),
        ("BXCA900101HTSRRR00", Ok("BXCA900101HTSRRR00")),
        ("MAGA700115HNLRRN00", Ok("MAGA700115HNLRRN00")),
        ("XEXX010101HNEXXXA4", Ok("XEXX010101HNEXXXA4")),
        ("RAMA040229MSLNRRA3", Ok("RAMA040229MSLNRRA3")),
        ("AEIO000301HOCBBBB0", Ok("AEIO000301HOCBBBB0")),
        ("COLI800101HPLLLL05", Ok("COLI800101HPLLLL05")),
        ("PUTI800101MTCTTT05", Ok("PUTI800101MTCTTT05")),
        ("OXOX601130HVZXXX51", Ok("OXOX601130HVZXXX51")),
        ("HERM850101XDFRRR02", Ok("HERM850101XDFRRR02")),
        ("GOMA080519MBCMRL97", Ok("GOMA080519MBCMRL97")),
        ("HERM850101MBSRRR08", Ok("HERM850101MBSRRR08")),
        ("HERM850101MCCRRR03", Ok("HERM850101MCCRRR03")),
        ("HERM850101MCLRRR09", Ok("HERM850101MCLRRR09")),
        ("HERM850101MCMRRR03", Ok("HERM850101MCMRRR03")),
        ("HERM850101MCSRRR01", Ok("HERM850101MCSRRR01")),
        ("HERM850101MCHRRR03", Ok("HERM850101MCHRRR03")),
        ("HERM850101MDGRRR02", Ok("HERM850101MDGRRR02")),
        ("HERM850101MGTRRR07", Ok("HERM850101MGTRRR07")),
        ("HERM850101MGRRRR09", Ok("HERM850101MGRRRR09")),
        ("HERM850101MHGRRR04", Ok("HERM850101MHGRRR04")),
        ("HERM850101MMCRRR03", Ok("HERM850101MMCRRR03")),
        ("HERM850101MMNRRR07", Ok("HERM850101MMNRRR07")),
        ("HERM850101MMSRRR01", Ok("HERM850101MMSRRR01")),
        ("HERM850101MNTRRR08", Ok("HERM850101MNTRRR08")),
        ("HERM850101MQTRRR00", Ok("HERM850101MQTRRR00")),
        ("HERM850101MSPRRR00", Ok("HERM850101MSPRRR00")),
        ("HERM850101MSRRRR08", Ok("HERM850101MSRRRR08")),
        ("HERM850101MTLRRR03", Ok("HERM850101MTLRRR03")),
        ("HERM850101MYNRRR06", Ok("HERM850101MYNRRR06")),
        ("HERM850101MTCRRR07", Ok("HERM850101MTCRRR07")),
        ("herm-850101-mdfrrr-08", Ok("HERM850101MDFRRR08")),
        (" HERM 850101 MDF RRR 08 ", Ok("HERM850101MDFRRR08")),
        ("HERM850101MDFRRR01", Err(&["bad_check_digit"])),
        ("HEGG560427MVZRRL08", Err(&["bad_check_digit"])),
        ("PXRA000229HJCRZNA3", Err(&["bad_check_digit"])),
        ("HERM850230MDFRRR06", Err(&["bad_date"])),
        ("HERM851301MDFRRR04", Err(&["bad_date"])),
        ("HERM850001MDFRRR09", Err(&["bad_date"])),
        ("HERM850100MDFRRR07", Err(&["bad_date"])),
        ("HERM000229MDFRRR02", Err(&["bad_date"])),
        ("HERM850431MDFRRR05", Err(&["bad_date"])),
        ("HERM990101MDFRRRA2", Err(&["bad_date"])),
        ("HERM260521MDFRRRA5", Err(&["bad_date"])),
        ("GOMA080521HASMRLA2", Err(&["underage"])),
        ("GOMA100101HASMRLA6", Err(&["underage"])),
        ("GOMA260520HASMRLA9", Err(&["underage"])),
        ("BACA850101MDFRRR00", Err(&["blocked_word"])),
        ("PUTO850101MDFRRR00", Err(&["blocked_word"])),
        ("VACA850101MDFRRR02", Err(&["blocked_word"])),
        ("CACO850101MDFRRR07", Err(&["blocked_word"])),
        ("WUEY850101MDFRRR00", Err(&["blocked_word"])),
        ("LOCO850101MDFRRR00", Err(&["blocked_word"])),
        ("MULA850101MDFRRR01", Err(&["blocked_word"])),
        ("JOTO850101MDFRRR08", Err(&["blocked_word"])),
        ("HERM850101MXXRRR07", Err(&["bad_state"])),
        ("HERM850101MCDRRR07", Err(&["bad_state"])),
        ("HERM850101MMXRRR01", Err(&["bad_state"])),
        ("HERM850101MEMRRR09", Err(&["bad_state"])),
        ("PUTO850230MXXRRR01", Err(&["blocked_word", "bad_date", "bad_state", "bad_check_digit"])),
        ("", Err(&["bad_length"])),
        ("HERM850101MDFRRR0", Err(&["bad_length"])),
        ("HERM850101MDFRRR080", Err(&["bad_length"])),
        ("HBRM850101MDFRRR08", Err(&["bad_format"])),
        ("1ERM850101MDFRRR08", Err(&["bad_format"])),
        ("HERM8501O1MDFRRR08", Err(&["bad_format"])),
        ("HERM850101ADFRRR08", Err(&["bad_format"])),
        ("HERM850101M1FRRR08", Err(&["bad_format"])),
        ("HERM850101MDFARR08", Err(&["bad_format"])),
        ("HERM850101MDF1RR08", Err(&["bad_format"])),
        ("HERM850101MDFRRR0A", Err(&["bad_format"])),
        ("HÉRM850101MDFRRR08", Err(&["bad_format"])),
        ("ÑERM850101MDFRRR08", Err(&["bad_format"])),
        ("HE1M850101MDFRRR08", Err(&["bad_format"])),
        ("HERM850101MDFRRR*8", Err(&["bad_format"])),
    ];

    fn cases() -> Vec<DecisionRow> {
        vec![
            // Plain cases.
            row("60000", "20000", 36, report("1000", 700), Approved, "23.64", &[]),
            row("100000", "30000", 48, report("0", 650), Approved, "26.55", &[]),
            // The score just below, at and just above its floor.
            row("60000", "20000", 36, report("100", 549), Rejected, "54.63", &["SCORE_TOO_LOW"]),
            row("60000", "20000", 36, report("100", 550), Approved, "34.55", &[]),
            row("60000", "20000", 36, report("100", 551), Approved, "34.48", &[]),
            // Defaults, and accounts that are not active.
            row(
                "60000",
                "20000",
                36,
                report("100", 720).with_loan_defaults(),
                UnderReview,
                "62.19",
                &["ACTIVE_DEFAULTS", "RISK_TOO_HIGH"],
            ),
            row(
                "60000",
                "20000",
                36,
                report("100", 720).with_loan_defaults().account_status(Closed),
                UnderReview,
                "62.19",
                &["ACTIVE_DEFAULTS", "RISK_TOO_HIGH"],
            ),
            row("60000", "20000", 36, report("100", 720).account_status(Inactive), Approved, "32.19", &[]),
            row("60000", "20000", 36, report("100", 720).account_status(Suspended), Approved, "32.19", &[]),
            row("60000", "20000", 36, report("100", 720).account_status(Closed), Approved, "32.19", &[]),
            row("60000", "20000", 36, report("100", 720).account_status(Unknown), Approved, "32.19", &[]),
            // Values that the bureau did not report.
            row("60000", "20000", 36, report("100", 720).without_account_status(), Approved, "22.19", &[]),
            row(
                "60000",
                "20000",
                36,
                report("100", 850).without_score(),
                UnderReview,
                UNKNOWN,
                &["MISSING_CREDIT_SCORE"],
            ),
            row("60000", "20000", 36, report("0", 720).with_unknown_obligations(), Approved, "22.19", &[]),
            row(
                "60000",
                "20000",
                36,
                report("100", 720).without_defaults(),
                UnderReview,
                "22.19",
                &["MISSING_HAS_DEFAULTS"],
            ),
            row(
                "60000",
                "20000",
                36,
                report("0", 850)
                    .with_unknown_obligations()
                    .without_score()
                    .without_defaults()
                    .without_account_status(),
                UnderReview,
                UNKNOWN,
                &["MISSING_CREDIT_SCORE", "MISSING_HAS_DEFAULTS"],
            ),
            row(
                "60000",
                "20000",
                36,
                report("0", 549).with_unknown_obligations().with_loan_defaults(),
                Rejected,
                "94.63",
                &["SCORE_TOO_LOW", "ACTIVE_DEFAULTS"],
            ),
            // The best and the worst score.
            row("60000", "20000", 36, report("0", 850), Approved, "12.74", &[]),
            row("60000", "20000", 36, report("0", 300), Rejected, "72.74", &["SCORE_TOO_LOW"]),
            // Income just below, at and just above 5,000.
            row("10000", "4999.99", 36, report("0", 780), Rejected, "50.00", &["INCOME_TOO_LOW"]),
            row("10000", "5000", 36, report("0", 780), Approved, "13.58", &[]),
            row("10000", "5000.01", 36, report("0", 780), Approved, "13.58", &[]),
            // LTI just below, at and just above 3; the PTI rule is violated as well.
            row("719999.99", "20000", 84, report("0", 780), Rejected, "55.09", &["PTI_TOO_HIGH"]),
            row("720000", "20000", 84, report("0", 780), Rejected, "55.09", &["PTI_TOO_HIGH"]),
            row(
                "720000.01",
                "20000",
                84,
                report("0", 780),
                Rejected,
                "75.09",
                &["LTI_TOO_HIGH", "PTI_TOO_HIGH"],
            ),
            // PTI just below, at and just above 30 %.
            row("60000.00", "8490.31", 36, report("0", 780), Approved, "35.09", &[]),
            row("60000.00", "8490.30", 36, report("0", 780), Approved, "35.09", &[]),
            row("60000.00", "8490.29", 36, report("0", 780), Rejected, "55.09", &["PTI_TOO_HIGH"]),
            // Obligations do not count: the measure is PTI.
            row("60000", "20000", 36, report("19000", 700), Approved, "23.64", &[]),
            // A risk of 50 or more goes to review even if no rule is violated.
            row(
                "160000",
                "23500",
                36,
                report("0", 560).account_status(Closed),
                UnderReview,
                "59.99",
                &["RISK_TOO_HIGH"],
            ),
            // Several violations at the same time.
            row(
                "900000",
                "4000",
                6,
                report("1000", 300).with_loan_defaults(),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "LTI_TOO_HIGH", "PTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            // The limits of the database column.
            row(
                "9999999999.99",
                "0.01",
                6,
                report("9999999999.99", 300).with_loan_defaults(),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "LTI_TOO_HIGH", "PTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            row("0.01", "9999999999.99", 84, report("0", 850), Approved, "0.00", &[]),
        ]
    }

    fn check_at(text: &str, moment: DateTime<Utc>) -> DocumentVerdict {
        Countries::built_in().unwrap().rules(Country::Mx).check_document(text, moment)
    }

    #[test]
    fn birth_date_and_sex_are_read_with_the_century_of_the_homonym_character() {
        for (text, year, month, day, sex) in [
            ("HERM850101MDFRRR08", 1985, 1, 1, Sex::Female),
            ("HERM850101XDFRRR02", 1985, 1, 1, Sex::NonBinary),
            ("PXRA000229HJCRZNA9", 2000, 2, 29, Sex::Male),
            ("GOMA080519MBCMRL97", 1908, 5, 19, Sex::Female),
        ] {
            let person = check_at(text, moment()).person.unwrap();
            assert_eq!(Some(person.birth_date), NaiveDate::from_ymd_opt(year, month, day), "{text}");
            assert_eq!(person.sex, sex, "{text}");
        }
        assert_eq!(check_at("HERM850101MDFRRR01", moment()).person, None);
    }

    /// The person was born on 20 May 2008. Mexico City is six hours behind UTC all year.
    #[test]
    fn the_birthday_starts_at_midnight_in_mexico_city() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let before = check_at("GOMA080520HASMRLA1", at("2026-05-20T05:59:59Z"));
        assert_eq!(before.reasons, [ReasonCode::Underage]);
        assert!(check_at("GOMA080520HASMRLA1", at("2026-05-20T06:00:00Z")).valid);
    }

    #[test]
    fn the_lists_are_complete_and_have_no_duplicates() {
        assert_eq!(STATES.iter().collect::<HashSet<_>>().len(), 33);
        assert_eq!(BLOCKED_WORDS.iter().collect::<HashSet<_>>().len(), 81);
    }

    const MEXICAN_ALPHABET: &str = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ";

    fn mexican_place(c: char) -> usize {
        MEXICAN_ALPHABET.chars().position(|other| other == c).unwrap()
    }

    fn mexican() -> impl Strategy<Value = String> {
        let states = "AS BC BS CC CL CM CS CH DF DG GT GR HG JC MC MN MS NT NL OC PL QT QR SP SL SR TC TS TL VZ YN ZS NE";
        let states: Vec<&str> = states.split(' ').collect();
        // No blocked word has Q as its fourth letter, so these CURPs never start with one.
        let name = "[A-Z][AEIOUX][A-Z]Q";
        let day = (1900u32..2008, 1u32..=12, 1u32..=28);
        let end = ("[HMX]", select(states), "[B-DF-HJ-NP-TV-Z]{3}", "[0-9]", "[A-Z]");
        (name, day, end).prop_map(|(name, (year, month, day), (sex, state, consonants, old, young))| {
            let homonym = if year < 2000 { old } else { young };
            let body = format!("{name}{:02}{month:02}{day:02}{sex}{state}{consonants}{homonym}", year % 100);
            let sum: usize = body.chars().enumerate().map(|(at, c)| mexican_place(c) * (18 - at)).sum();
            format!("{body}{}", (10 - sum % 10) % 10)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

    /// A change is detected unless the weight of its position times the difference of the values is a multiple of 10.
    #[test]
    fn any_single_change_of_a_curp_that_the_check_digit_can_detect_is_refused(
        text in mexican(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, place)) = changed(&text, place, c) else { return Ok(()) };
        let before = mexican_place(text.chars().nth(place).unwrap());
        let weight = if place == 17 { 1 } else { 18 - place };
        if (weight * before.abs_diff(mexican_place(c))).is_multiple_of(10) {
            return Ok(());
        }
        prop_assert!(!check(Country::Mx, &other).valid, "{} -> {}", text, other);
    }
    }

    /// The exception in the property above is necessary: this change is not detected.
    #[test]
    fn some_changes_cannot_be_detected() {
        assert!(
            check(Country::Mx, "HERM850101MDFRRR08").valid && check(Country::Mx, "HERM850111MDFRRR08").valid
        );
    }
}
