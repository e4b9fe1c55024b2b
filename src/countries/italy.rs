//! Italy: Codice Fiscale, euros, CRIF.
//!
//! **Document.** Sixteen characters (Decreto del Ministro delle Finanze, 23 December 1976): three letters of the
//! surname, three of the first name, two digits of the birth year, a letter for the month, two digits for the day (plus
//! 40 for women), a letter and three digits for the place of birth, and a check letter. If two people would have the
//! same code, the registry replaces digits with letters (omocodia): `LMNPQRSTUV` stand for 0 to 9 at any of the seven
//! digit positions. The check letter is computed from the code as written: each of the first fifteen characters has one
//! value at odd and another at even positions, and the sum modulo 26 selects the letter. At each position all allowed
//! characters have different values, so any single wrong character is detected.
//!
//! The code does not contain the century. The check assumes the latest century in which the birth date is not in the
//! future, according to the date in Rome. People over a hundred are therefore mistaken for children and rejected as
//! `underage`; their applications need manual handling. The check accepts any letters for the name, because foreign names
//! follow no pattern.
//!
//! **Rules.** Rejects: income below 1,200 euros, an amount above 50,000 euros, DTI above 35 %, a score below 600, active
//! defaults. Reviews: the average income reported by the bureau deviates from the declared income by more than 20 %.

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

pub(super) static ITALY: Definition = Definition {
    country: Country::It,
    bureau: "CRIF",
    document: DocumentDescription {
        kinds: &[DocumentKind::CodiceFiscale],
        description: "Codice Fiscale (16 characters) of a person aged 18 or over",
        format: "^[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]$",
        sample: "RSSMRA80A01H501U",
    },
    check: DocumentCheck::Dated(chrono_tz::Europe::Rome, check),
    has_check_characters: true,
    members: &[
        DataMember::personal("iban", DataKind::Code(15, 34), "The account for the payout (IBAN)"),
        DataMember::open("province", DataKind::Text(60), "The province of residence"),
    ],
    thresholds: include_str!("../../config/countries/it.toml"),
    rules,
    #[cfg(test)]
    expected: tests::EXPECTED,
};

/// Increment this when a change to the rules below would decide an earlier case differently with the same thresholds.
const REVISION: u32 = 1;

/// `config/countries/it.toml`, which explains each key.
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

fn rules(file: &ThresholdsFile) -> Result<RulePack> {
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
    RulePack::new(Country::It, REVISION, &t, t.reference_annual_rate, affordability, rules)
}

/// The letters of the months, January to December.
const MONTHS: [u8; 12] = *b"ABCDEHLMPRST";

/// The letters that stand for the digits 0 to 9 under omocodia.
const OMOCODIA: [u8; 10] = *b"LMNPQRSTUV";

/// The values of A to Z at odd positions. The digits 0 to 9 have the same values as A to J.
const ODD_VALUES: [u32; 26] =
    [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

/// The prefix of a codice fiscale in certificates and in SPID's `fiscalNumber`: the type of tax number (ETSI EN 319 412-1,
/// 5.1.3). The prefix IT is not accepted, because it belongs to the VAT number, which is a different number.
const PREFIXES: [&str; 1] = ["TINIT"];

fn check(text: &str, today: NaiveDate) -> Result<DocumentVerdict, ReasonCode> {
    let code = document::normalize_after::<16>(text, &PREFIXES)?;
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
    Ok(DocumentVerdict::recognized(kind, document::to_text(&code), reasons, person))
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

/// The number written by the characters, with omocodia resolved.
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

#[cfg(test)]
mod tests {
    use super::super::table::{
        DecisionRow, DocumentRow, Expected, UNKNOWN, changed, check, moment, replacement, report, row,
    };
    use super::super::{Countries, DocumentVerdict, ReasonCode, Sex};
    use crate::domain::application::Country;
    use crate::domain::banking::AccountStatus::{Closed, Inactive, Suspended, Unknown};
    use crate::domain::decision::Outcome::{Approved, Rejected, UnderReview};
    use crate::domain::decision::RuleKind::{Reject, Review};
    use chrono::{DateTime, NaiveDate, Utc};
    use proptest::prelude::*;
    use proptest::sample::Index;

    pub(in super::super) const EXPECTED: Expected = Expected {
        rules_version: "it-32bb74c64ac1ea34",
        reference_annual_rate: "0.08",
        rules: &[
            ("INCOME_TOO_LOW", Reject, Some("1200.00")),
            ("AMOUNT_TOO_HIGH", Reject, Some("50000.00")),
            ("DTI_TOO_HIGH", Reject, Some("0.35")),
            ("SCORE_TOO_LOW", Reject, Some("600")),
            ("ACTIVE_DEFAULTS", Reject, None),
            ("INCOME_MISMATCH", Review, Some("0.2")),
        ],
        documents: DOCUMENTS,
        valid_document: || italian().boxed(),
        cases,
    };

    const DOCUMENTS: &[DocumentRow] = &[
        ("RSSMRA80A01H501U", Ok("RSSMRA80A01H501U")),
        ("TINIT-RSSMRA80A01H501U", Ok("RSSMRA80A01H501U")),
        ("RSSMRA80A41H501Y", Ok("RSSMRA80A41H501Y")),
        ("VRDLGI75C15F205C", Ok("VRDLGI75C15F205C")),
        ("BNCLRA90D70L219H", Ok("BNCLRA90D70L219H")),
        ("FRRGNN00A01H501V", Ok("FRRGNN00A01H501V")),
        ("MRTMTT91D08F205J", Ok("MRTMTT91D08F205J")),
        ("BRNGPP49E05L736R", Ok("BRNGPP49E05L736R")),
        ("CCCFBA85D03L219P", Ok("CCCFBA85D03L219P")),
        ("XXXYYY60B29Z404S", Ok("XXXYYY60B29Z404S")),
        ("RSSNNA08E60H501M", Ok("RSSNNA08E60H501M")),
        ("RSSMRA08E20H501V", Ok("RSSMRA08E20H501V")),
        ("RSSMRA99T31A001C", Ok("RSSMRA99T31A001C")),
        ("ZZZZZZ27A01Z999Z", Ok("ZZZZZZ27A01Z999Z")),
        ("QWEQWE96B29H501T", Ok("QWEQWE96B29H501T")),
        ("LNEGNI56P70G273L", Ok("LNEGNI56P70G273L")),
        ("DNTCRL65S67M126J", Ok("DNTCRL65S67M126J")),
        ("RCCMNL83S18D969H", Ok("RCCMNL83S18D969H")),
        ("RSSMRA00B29H501Y", Ok("RSSMRA00B29H501Y")),
        ("BLLMRC70L31H501D", Ok("BLLMRC70L31H501D")),
        ("SPSGVN61H30H501V", Ok("SPSGVN61H30H501V")),
        ("RSSMRA80A01H50MM", Ok("RSSMRA80A01H50MM")),
        ("RSSMRA80A01H5LMX", Ok("RSSMRA80A01H5LMX")),
        ("RSSMRAULALMHRLMD", Ok("RSSMRAULALMHRLMD")),
        ("RSSMRA8LA01H501F", Ok("RSSMRA8LA01H501F")),
        ("RSSMRA80AL1H501F", Ok("RSSMRA80AL1H501F")),
        ("BNCLRA90DTLL219W", Ok("BNCLRA90DTLL219W")),
        ("VRDLGITRCMRFNLRM", Ok("VRDLGITRCMRFNLRM")),
        ("rss mra 80a01 h501-u", Ok("RSSMRA80A01H501U")),
        ("RSSMRA/80A01/H501.U", Ok("RSSMRA80A01H501U")),
        ("RSSMRA80A01H501B", Err(&["bad_check_digit"])),
        ("VRDLGI75C15F205J", Err(&["bad_check_digit"])),
        ("RSSMRA80A01H50MT", Err(&["bad_check_digit"])),
        ("RSSMRA80A01H50MU", Err(&["bad_check_digit"])),
        ("RSSMRA80B30H501X", Err(&["bad_date"])),
        ("RSSMRA81B29H501R", Err(&["bad_date"])),
        ("RSSMRA80A00H501V", Err(&["bad_date"])),
        ("RSSMRA80A32H501C", Err(&["bad_date"])),
        ("RSSMRA80A40H501Z", Err(&["bad_date"])),
        ("RSSMRA80A72H501G", Err(&["bad_date"])),
        ("RSSMRA80D31H501D", Err(&["bad_date"])),
        ("RSSMRA80D71H501H", Err(&["bad_date"])),
        ("RSSMRA80A99H501Y", Err(&["bad_date"])),
        ("RSSMRA97B69H501D", Err(&["bad_date"])),
        ("RSSMRA08E21H501U", Err(&["underage"])),
        ("RSSMRA08E61H501Y", Err(&["underage"])),
        ("RSSMRA10A01H501B", Err(&["underage"])),
        ("RSSMRA26E20H501X", Err(&["underage"])),
        ("RSSMRA24A01H501K", Err(&["underage"])),
        ("RSSMRA26E21H501W", Ok("RSSMRA26E21H501W")),
        ("RSSMRA80B30H501E", Err(&["bad_date", "bad_check_digit"])),
        ("", Err(&["bad_length"])),
        ("RSSMRA80A01H501", Err(&["bad_length"])),
        ("RSSMRA80A01H501UU", Err(&["bad_length"])),
        ("RSSMRA80F01H501U", Err(&["bad_format"])),
        ("RSSMRA80A01H5017", Err(&["bad_format"])),
        ("1SSMRA80A01H501U", Err(&["bad_format"])),
        ("RSSMRAA0A01H501U", Err(&["bad_format"])),
        ("RSSMRA80AO1H501U", Err(&["bad_format"])),
        ("RSSMRA80A0KH501U", Err(&["bad_format"])),
        ("RSSMRA80A011501U", Err(&["bad_format"])),
        ("RSSMRA80A01H5W1U", Err(&["bad_format"])),
        ("RSSMRÀ80A01H501U", Err(&["bad_format"])),
        ("RSSMRA80A01H501_", Err(&["bad_format"])),
    ];

    fn cases() -> Vec<DecisionRow> {
        vec![
            // The worked example of the specification.
            row(
                "10000",
                "3000",
                36,
                report("100", 640).with_loan_defaults().average_income("3000"),
                Rejected,
                "77.08",
                &["ACTIVE_DEFAULTS"],
            ),
            row("10000", "3000", 36, report("100", 640).average_income("3000"), Approved, "27.08", &[]),
            // The score just below, at and just above its floor.
            row(
                "10000",
                "3000",
                36,
                report("100", 599).average_income("3000"),
                Rejected,
                "50.06",
                &["SCORE_TOO_LOW"],
            ),
            row("10000", "3000", 36, report("100", 600).average_income("3000"), Approved, "29.99", &[]),
            row("10000", "3000", 36, report("100", 601).average_income("3000"), Approved, "29.92", &[]),
            // Defaults, and accounts that are not active.
            row(
                "10000",
                "3000",
                36,
                report("100", 720).with_loan_defaults().average_income("3000"),
                Rejected,
                "71.26",
                &["ACTIVE_DEFAULTS"],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).with_loan_defaults().account_status(Closed).average_income("3000"),
                Rejected,
                "71.26",
                &["ACTIVE_DEFAULTS"],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).account_status(Inactive).average_income("3000"),
                Approved,
                "31.26",
                &[],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).account_status(Suspended).average_income("3000"),
                Approved,
                "31.26",
                &[],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).account_status(Closed).average_income("3000"),
                Approved,
                "31.26",
                &[],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).account_status(Unknown).average_income("3000"),
                Approved,
                "31.26",
                &[],
            ),
            // Values that the bureau did not report.
            row(
                "10000",
                "3000",
                36,
                report("100", 720).without_account_status().average_income("3000"),
                Approved,
                "21.26",
                &[],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 850).without_score().average_income("3000"),
                UnderReview,
                UNKNOWN,
                &["MISSING_CREDIT_SCORE"],
            ),
            row(
                "10000",
                "3000",
                36,
                report("0", 720).with_unknown_obligations().average_income("3000"),
                UnderReview,
                UNKNOWN,
                &["MISSING_MONTHLY_OBLIGATIONS"],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).without_defaults().average_income("3000"),
                UnderReview,
                "21.26",
                &["MISSING_HAS_DEFAULTS"],
            ),
            row(
                "10000",
                "3000",
                36,
                report("0", 850)
                    .with_unknown_obligations()
                    .without_score()
                    .without_defaults()
                    .without_account_status(),
                UnderReview,
                UNKNOWN,
                &[
                    "MISSING_MONTHLY_OBLIGATIONS",
                    "MISSING_CREDIT_SCORE",
                    "MISSING_HAS_DEFAULTS",
                    "MISSING_AVERAGE_MONTHLY_INCOME",
                ],
            ),
            row(
                "10000",
                "3000",
                36,
                report("0", 599).with_unknown_obligations().with_loan_defaults().average_income("3000"),
                Rejected,
                UNKNOWN,
                &["SCORE_TOO_LOW", "ACTIVE_DEFAULTS", "MISSING_MONTHLY_OBLIGATIONS"],
            ),
            // The best and the worst score.
            row("10000", "3000", 36, report("0", 850).average_income("3000"), Approved, "8.95", &[]),
            row(
                "10000",
                "3000",
                36,
                report("0", 300).average_income("3000"),
                Rejected,
                "68.95",
                &["SCORE_TOO_LOW"],
            ),
            // Income just below, at and just above 1,200.
            row(
                "5000",
                "1199.99",
                36,
                report("0", 780).average_income("1199.99"),
                Rejected,
                "50.00",
                &["INCOME_TOO_LOW"],
            ),
            row("5000", "1200", 36, report("0", 780).average_income("1200"), Approved, "16.28", &[]),
            row("5000", "1200.01", 36, report("0", 780).average_income("1200.01"), Approved, "16.28", &[]),
            // The amount just below, at and just above 50,000.
            row("49999.99", "9000", 84, report("0", 780).average_income("9000"), Approved, "12.51", &[]),
            row("50000", "9000", 84, report("0", 780).average_income("9000"), Approved, "12.51", &[]),
            row(
                "50000.01",
                "9000",
                84,
                report("0", 780).average_income("9000"),
                Rejected,
                "50.00",
                &["AMOUNT_TOO_HIGH"],
            ),
            // DTI just below, at and just above 35 %.
            row("10000", "3000", 36, report("736.63", 800).average_income("3000"), Approved, "33.64", &[]),
            row("10000", "3000", 36, report("736.64", 800).average_income("3000"), Approved, "33.64", &[]),
            row(
                "10000",
                "3000",
                36,
                report("736.65", 800).average_income("3000"),
                Rejected,
                "53.64",
                &["DTI_TOO_HIGH"],
            ),
            // A deviation of exactly 20 % passes in both directions; one cent more does not.
            row("10000", "3000", 36, report("100", 720).average_income("2400"), Approved, "21.26", &[]),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).average_income("2399.99"),
                UnderReview,
                "31.26",
                &["INCOME_MISMATCH"],
            ),
            row("10000", "3000", 36, report("100", 720).average_income("3600"), Approved, "21.26", &[]),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).average_income("3600.01"),
                UnderReview,
                "31.26",
                &["INCOME_MISMATCH"],
            ),
            // An unknown average income.
            row(
                "10000",
                "3000",
                36,
                report("100", 720),
                UnderReview,
                "21.26",
                &["MISSING_AVERAGE_MONTHLY_INCOME"],
            ),
            row(
                "10000",
                "3000",
                36,
                report("100", 720).average_income("0"),
                UnderReview,
                "31.26",
                &["INCOME_MISMATCH"],
            ),
            // A risk of 50 or more goes to review even if no rule is violated.
            row(
                "10000",
                "3000",
                36,
                report("700", 605).account_status(Inactive).average_income("3000"),
                UnderReview,
                "56.77",
                &["RISK_TOO_HIGH"],
            ),
            // Several violations at the same time.
            row(
                "60000",
                "1000",
                6,
                report("1000", 300).with_loan_defaults().average_income("1"),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "AMOUNT_TOO_HIGH", "DTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            // The limits of the database column.
            row(
                "9999999999.99",
                "0.01",
                6,
                report("9999999999.99", 300).with_loan_defaults().average_income("9999999999.99"),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "AMOUNT_TOO_HIGH", "DTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            row(
                "0.01",
                "9999999999.99",
                84,
                report("0", 850).average_income("9999999999.99"),
                Approved,
                "0.00",
                &[],
            ),
        ]
    }

    fn check_at(text: &str, moment: DateTime<Utc>) -> DocumentVerdict {
        Countries::built_in().unwrap().rules(Country::It).check_document(text, moment)
    }

    #[test]
    fn birth_date_and_sex_are_read_even_with_omocodia() {
        for (text, year, month, day, sex) in [
            ("RSSMRA80A01H501U", 1980, 1, 1, Sex::Male),
            ("RSSMRA80A41H501Y", 1980, 1, 1, Sex::Female),
            ("RSSMRAULALMHRLMD", 1980, 1, 1, Sex::Male),
            ("RSSMRA26E21H501W", 1926, 5, 21, Sex::Male),
            ("RSSMRA00B29H501Y", 2000, 2, 29, Sex::Male),
        ] {
            let person = check_at(text, moment()).person.unwrap();
            assert_eq!(Some(person.birth_date), NaiveDate::from_ymd_opt(year, month, day), "{text}");
            assert_eq!(person.sex, sex, "{text}");
        }
        assert_eq!(check_at("RSSMRA80A01H501A", moment()).person, None);
    }

    /// The person was born on 20 May 2008. In summer, Rome is two hours ahead of UTC.
    #[test]
    fn the_birthday_starts_at_midnight_in_rome() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let before = check_at("RSSMRA08E20H501V", at("2026-05-19T21:59:59Z"));
        assert_eq!(before.reasons, [ReasonCode::Underage]);
        assert!(check_at("RSSMRA08E20H501V", at("2026-05-19T22:00:00Z")).valid);
    }

    fn italian() -> impl Strategy<Value = String> {
        let day = (0u32..100, 0usize..12, 1u32..=28, any::<bool>());
        ("[A-Z]{6}", day, "[A-Z][0-9]{3}", proptest::collection::vec(any::<bool>(), 7)).prop_filter_map(
            "of age",
            |(names, (year, month, day, woman), place, replaced)| {
                if (8..=26).contains(&year) {
                    return None;
                }
                let month = "ABCDEHLMPRST".chars().nth(month).unwrap();
                let plain =
                    format!("{names}{year:02}{month}{:02}{place}", if woman { day + 40 } else { day });
                let mut places = replaced.into_iter();
                let body: String = plain
                    .chars()
                    .map(|c| match c.to_digit(10) {
                        Some(digit) if places.next().unwrap() => {
                            "LMNPQRSTUV".chars().nth(digit.try_into().unwrap()).unwrap()
                        }
                        _ => c,
                    })
                    .collect();
                let sum: usize = body.chars().enumerate().map(|(at, c)| italian_value(at, c)).sum();
                Some(format!("{body}{}", ('A'..='Z').nth(sum % 26).unwrap()))
            },
        )
    }

    /// The value of a character according to the decree's tables. Each row has the characters with the same values and
    /// their value at odd positions. Their value at even positions is the number of the row.
    fn italian_value(at: usize, c: char) -> usize {
        let odd = [
            ("0A", 1),
            ("1B", 0),
            ("2C", 5),
            ("3D", 7),
            ("4E", 9),
            ("5F", 13),
            ("6G", 15),
            ("7H", 17),
            ("8I", 19),
            ("9J", 21),
            ("K", 2),
            ("L", 4),
            ("M", 18),
            ("N", 20),
            ("O", 11),
            ("P", 3),
            ("Q", 6),
            ("R", 8),
            ("S", 12),
            ("T", 14),
            ("U", 16),
            ("V", 10),
            ("W", 22),
            ("X", 25),
            ("Y", 24),
            ("Z", 23),
        ];
        let row = odd.iter().position(|(characters, _)| characters.contains(c)).unwrap();
        if at.is_multiple_of(2) { odd[row].1 } else { row }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_single_change_of_a_codice_fiscale_is_refused(
        text in italian(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, _)) = changed(&text, place, c) else { return Ok(()) };
        prop_assert!(!check(Country::It, &other).valid, "{} -> {}", text, other);
    }
    }
}
