//! Portugal: NIF, euros, Banco de Portugal.
//!
//! **Document.** The Número de Identificação Fiscal has nine digits, the last of which is a check digit. The first
//! eight, weighted 9 down to 2, sum to `s`, and the check digit is `11 - s mod 11`, or 0 if that is 10 or 11
//! (Decreto-Lei 14/2013 and the rules of the Autoridade Tributária). Because two remainders result in the digit 0, a
//! single wrong digit may go undetected in a NIF that ends in 0. In any other NIF, it is detected.
//!
//! A NIF may be written with the country prefix `PT`, as in VAT numbers (VIES) and on invoices. The prefix is not part of
//! the number and is not stored. Only natural persons may apply. Their numbers start with 1, 2 or 3, or with 45 for
//! non-residents. Numbers that start with 5 belong to companies, with 6 to the State, with 7 to 9 to other organizations.
//!
//! **Rules.** Rejects: income below 800 euros, LTI above 4, DTI above 40 %, a score below 600, active defaults.
//! There are no review rules.

use serde::{Deserialize, Serialize};

use super::data::{DataKind, DataMember};
use super::definition::{Definition, DocumentCheck};
use super::description::DocumentDescription;
use super::document::{self, DocumentKind, DocumentVerdict, ReasonCode};
use super::evaluation::RulePack;
use super::risk::Affordability;
use super::rule::{Rule, Test};
use super::thresholds::{Amount, AnnualRate, Ratio, ThresholdsFile};
use crate::domain::application::Country;
use crate::domain::banking::CreditScore;
use crate::error::Result;

pub(super) static PORTUGAL: Definition = Definition {
    country: Country::Pt,
    bureau: "Banco de Portugal",
    document: DocumentDescription {
        kinds: &[DocumentKind::Nif],
        description: "NIF of a natural person (9 digits, of which the last is a check digit), optionally with the prefix PT",
        format: "^([123][0-9]|45)[0-9]{7}$",
        sample: "123456789",
    },
    check: DocumentCheck::Undated(check),
    has_check_characters: true,
    members: &[
        DataMember::personal("iban", DataKind::Code(15, 34), "The account for the payout (IBAN)"),
        DataMember::open("district", DataKind::Text(60), "The district of residence"),
    ],
    thresholds: include_str!("../../config/countries/pt.toml"),
    rules,
    #[cfg(test)]
    expected: tests::EXPECTED,
};

/// Increment this when a change to the rules below would decide an earlier case differently with the same thresholds.
const REVISION: u32 = 1;

/// `config/countries/pt.toml`, which explains each key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_lti: Ratio,
    max_dti: Ratio,
    min_credit_score: CreditScore,
}

fn rules(file: &ThresholdsFile) -> Result<RulePack> {
    let t: Thresholds = file.parse()?;
    let rules = vec![
        Rule::reject("INCOME_TOO_LOW", Test::IncomeAtLeast(t.min_monthly_income)),
        Rule::reject("LTI_TOO_HIGH", Test::LtiAtMost(t.max_lti)),
        Rule::reject("DTI_TOO_HIGH", Test::DtiAtMost(t.max_dti)),
        Rule::reject("SCORE_TOO_LOW", Test::ScoreAtLeast(t.min_credit_score)),
        Rule::reject("ACTIVE_DEFAULTS", Test::NoDefaults),
    ];
    let affordability = Affordability::Dti(t.max_dti);
    RulePack::new(Country::Pt, REVISION, &t, t.reference_annual_rate, affordability, rules)
}

/// The prefixes of a NIF: the type of tax number in certificates (ETSI EN 319 412-1, 5.1.3), and the country in VAT numbers
/// (Council Directive 2006/112/EC, article 215).
const PREFIXES: [&str; 2] = ["TINPT", "PT"];

fn check(text: &str) -> Result<DocumentVerdict, ReasonCode> {
    let normalized = document::normalize_after::<9>(text, &PREFIXES)?;
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
    Ok(DocumentVerdict::recognized(DocumentKind::Nif, document::to_text(&normalized), reasons, None))
}

#[cfg(test)]
mod tests {
    use super::super::table::{
        DecisionRow, DocumentRow, Expected, UNKNOWN, changed, check, replacement, report, row, weighted,
    };
    use crate::domain::application::Country;
    use crate::domain::banking::AccountStatus::{Closed, Inactive, Suspended, Unknown};
    use crate::domain::decision::Outcome::{Approved, Rejected, UnderReview};
    use crate::domain::decision::RuleKind::Reject;
    use proptest::prelude::*;
    use proptest::sample::Index;

    pub(in super::super) const EXPECTED: Expected = Expected {
        rules_version: "pt-32d91cfd35934ba1",
        reference_annual_rate: "0.085",
        rules: &[
            ("INCOME_TOO_LOW", Reject, Some("800.00")),
            ("LTI_TOO_HIGH", Reject, Some("4")),
            ("DTI_TOO_HIGH", Reject, Some("0.4")),
            ("SCORE_TOO_LOW", Reject, Some("600")),
            ("ACTIVE_DEFAULTS", Reject, None),
        ],
        documents: DOCUMENTS,
        valid_document: || portuguese().boxed(),
        cases,
    };

    const DOCUMENTS: &[DocumentRow] = &[
        ("123456789", Ok("123456789")),
        ("100000002", Ok("100000002")),
        ("199999996", Ok("199999996")),
        ("200000004", Ok("200000004")),
        ("234567899", Ok("234567899")),
        ("298765438", Ok("298765438")),
        ("300000006", Ok("300000006")),
        ("314159266", Ok("314159266")),
        ("399999990", Ok("399999990")),
        ("450000001", Ok("450000001")),
        ("451234561", Ok("451234561")),
        ("459999990", Ok("459999990")),
        ("111111110", Ok("111111110")),
        ("222222220", Ok("222222220")),
        ("333333330", Ok("333333330")),
        ("271828188", Ok("271828188")),
        ("100000150", Ok("100000150")),
        ("100000100", Ok("100000100")),
        ("PT123456789", Ok("123456789")),
        ("pt 123 456 789", Ok("123456789")),
        ("TINPT-123456789", Ok("123456789")),
        ("PTPT123456789", Err(&["bad_length"])),
        ("ES123456789", Err(&["bad_length"])),
        ("PT123456780", Err(&["bad_check_digit"])),
        ("PT501442600", Err(&["not_a_person"])),
        ("123 456 789", Ok("123456789")),
        ("123.456.789", Ok("123456789")),
        ("PT123456789", Ok("123456789")),
        ("pt 123 456 789", Ok("123456789")),
        ("PT-123.456.789", Ok("123456789")),
        ("PT501442600", Err(&["not_a_person"])),
        ("PT123456788", Err(&["bad_check_digit"])),
        ("PTPT123456789", Err(&["bad_length"])),
        ("PT12345678", Err(&["bad_length"])),
        ("ES123456789", Err(&["bad_length"])),
        ("123456789PT", Err(&["bad_length"])),
        (" 123-456/789 ", Ok("123456789")),
        ("501442600", Err(&["not_a_person"])),
        ("600000001", Err(&["not_a_person"])),
        ("700000003", Err(&["not_a_person"])),
        ("712345671", Err(&["not_a_person"])),
        ("800000005", Err(&["not_a_person"])),
        ("900000007", Err(&["not_a_person"])),
        ("999999990", Err(&["not_a_person"])),
        ("400000008", Err(&["not_a_person"])),
        ("449999998", Err(&["not_a_person"])),
        ("460000004", Err(&["not_a_person"])),
        ("000000000", Err(&["not_a_person"])),
        ("012345679", Err(&["not_a_person"])),
        ("123456782", Err(&["bad_check_digit"])),
        ("300000009", Err(&["bad_check_digit"])),
        ("451234564", Err(&["bad_check_digit"])),
        ("100000153", Err(&["bad_check_digit"])),
        ("100000103", Err(&["bad_check_digit"])),
        ("501442603", Err(&["not_a_person", "bad_check_digit"])),
        ("000000003", Err(&["not_a_person", "bad_check_digit"])),
        ("", Err(&["bad_length"])),
        ("12345678", Err(&["bad_length"])),
        ("1234567890", Err(&["bad_length"])),
        ("12345678A", Err(&["bad_format"])),
        ("A23456789", Err(&["bad_format"])),
        ("12345678²", Err(&["bad_format"])),
        ("123,456,789", Err(&["bad_format"])),
        ("12345678٩", Err(&["bad_format"])),
        ("+12345678", Err(&["bad_format"])),
    ];

    fn cases() -> Vec<DecisionRow> {
        vec![
            // Plain cases.
            row("8000", "1500", 36, report("100", 720), Approved, "27.08", &[]),
            row("12000", "2500", 60, report("250", 680), Approved, "27.25", &[]),
            // The score just below, at and just above its floor.
            row("8000", "1500", 36, report("100", 599), Rejected, "55.88", &["SCORE_TOO_LOW"]),
            row("8000", "1500", 36, report("100", 600), Approved, "35.81", &[]),
            row("8000", "1500", 36, report("100", 601), Approved, "35.74", &[]),
            // Defaults, and accounts that are not active.
            row(
                "8000",
                "1500",
                36,
                report("100", 720).with_loan_defaults(),
                Rejected,
                "77.08",
                &["ACTIVE_DEFAULTS"],
            ),
            row(
                "8000",
                "1500",
                36,
                report("100", 720).with_loan_defaults().account_status(Closed),
                Rejected,
                "77.08",
                &["ACTIVE_DEFAULTS"],
            ),
            row("8000", "1500", 36, report("100", 720).account_status(Inactive), Approved, "37.08", &[]),
            row("8000", "1500", 36, report("100", 720).account_status(Suspended), Approved, "37.08", &[]),
            row("8000", "1500", 36, report("100", 720).account_status(Closed), Approved, "37.08", &[]),
            row("8000", "1500", 36, report("100", 720).account_status(Unknown), Approved, "37.08", &[]),
            // Values that the bureau did not report.
            row("8000", "1500", 36, report("100", 720).without_account_status(), Approved, "27.08", &[]),
            row(
                "8000",
                "1500",
                36,
                report("100", 850).without_score(),
                UnderReview,
                UNKNOWN,
                &["MISSING_CREDIT_SCORE"],
            ),
            row(
                "8000",
                "1500",
                36,
                report("0", 720).with_unknown_obligations(),
                UnderReview,
                UNKNOWN,
                &["MISSING_MONTHLY_OBLIGATIONS"],
            ),
            row(
                "8000",
                "1500",
                36,
                report("100", 720).without_defaults(),
                UnderReview,
                "27.08",
                &["MISSING_HAS_DEFAULTS"],
            ),
            row(
                "8000",
                "1500",
                36,
                report("0", 850)
                    .with_unknown_obligations()
                    .without_score()
                    .without_defaults()
                    .without_account_status(),
                UnderReview,
                UNKNOWN,
                &["MISSING_MONTHLY_OBLIGATIONS", "MISSING_CREDIT_SCORE", "MISSING_HAS_DEFAULTS"],
            ),
            row(
                "8000",
                "1500",
                36,
                report("0", 599).with_unknown_obligations().with_loan_defaults(),
                Rejected,
                UNKNOWN,
                &["SCORE_TOO_LOW", "ACTIVE_DEFAULTS", "MISSING_MONTHLY_OBLIGATIONS"],
            ),
            // The best and the worst score.
            row("8000", "1500", 36, report("0", 850), Approved, "12.63", &[]),
            row("8000", "1500", 36, report("0", 300), Rejected, "72.63", &["SCORE_TOO_LOW"]),
            // Income just below, at and just above 800.
            row("2000", "799.99", 36, report("0", 780), Rejected, "50.00", &["INCOME_TOO_LOW"]),
            row("2000", "800", 36, report("0", 780), Approved, "11.01", &[]),
            row("2000", "800.01", 36, report("0", 780), Approved, "11.01", &[]),
            // LTI just below, at and just above 4; the DTI rule is violated as well.
            row("47999.99", "1000", 84, report("0", 780), Rejected, "55.09", &["DTI_TOO_HIGH"]),
            row("48000", "1000", 84, report("0", 780), Rejected, "55.09", &["DTI_TOO_HIGH"]),
            row(
                "48000.01",
                "1000",
                84,
                report("0", 780),
                Rejected,
                "75.09",
                &["LTI_TOO_HIGH", "DTI_TOO_HIGH"],
            ),
            // DTI just below, at and just above 40 %: exactly 40 % passes.
            row("8000", "1500", 36, report("347.45", 800), Approved, "33.64", &[]),
            row("8000", "1500", 36, report("347.46", 800), Approved, "33.64", &[]),
            row("8000", "1500", 36, report("347.47", 800), Rejected, "53.64", &["DTI_TOO_HIGH"]),
            // A risk of 50 or more goes to review even if no rule is violated.
            row(
                "8000",
                "1500",
                36,
                report("330", 601).account_status(Closed),
                UnderReview,
                "57.24",
                &["RISK_TOO_HIGH"],
            ),
            // Several violations at the same time.
            row(
                "50000",
                "500",
                6,
                report("1000", 300).with_loan_defaults(),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "LTI_TOO_HIGH", "DTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            // The limits of the database column.
            row(
                "9999999999.99",
                "0.01",
                6,
                report("9999999999.99", 300).with_loan_defaults(),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "LTI_TOO_HIGH", "DTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            row("0.01", "9999999999.99", 84, report("0", 850), Approved, "0.00", &[]),
        ]
    }

    fn portuguese() -> impl Strategy<Value = String> {
        prop_oneof!["[123][0-9]{7}", "45[0-9]{6}"].prop_map(|body| {
            let check = match weighted(&body, 9) % 11 {
                0 | 1 => 0,
                remainder => 11 - remainder,
            };
            format!("{body}{check}")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

    /// Two remainders result in the check digit 0, so a change may go undetected in a NIF that ends in 0.
    #[test]
    fn any_single_change_of_a_nif_that_does_not_end_in_0_is_refused(
        text in portuguese(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, place)) = changed(&text, place, c) else { return Ok(()) };
        if text.ends_with('0') && place < 8 {
            return Ok(());
        }
        prop_assert!(!check(Country::Pt, &other).valid, "{} -> {}", text, other);
    }
    }

    /// The exception in the property above is necessary: this change is not detected.
    #[test]
    fn some_changes_cannot_be_detected() {
        assert!(check(Country::Pt, "123456720").valid && check(Country::Pt, "163456720").valid);
    }
}
