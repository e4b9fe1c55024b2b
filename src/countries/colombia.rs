//! Colombia: Cédula de Ciudadanía, Colombian pesos, DataCrédito.
//!
//! **Document.** Six to ten digits without a leading zero (Registraduría Nacional del Estado Civil). The number has no
//! check digit, so typing errors cannot be detected.
//!
//! **Rules.** Rejects: income below 1,500,000 pesos, an amount above 50,000,000 pesos, PTI above 40 %, a score below 600.
//! Reviews: no verified record at DataCrédito, active defaults.

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

pub(super) static COLOMBIA: Definition = Definition {
    country: Country::Co,
    bureau: "DataCrédito",
    document: DocumentDescription {
        kinds: &[DocumentKind::Cedula],
        description: "Cédula de Ciudadanía (6 to 10 digits, the first one not 0)",
        format: "^[1-9][0-9]{5,9}$",
        sample: "1234567890",
    },
    check: DocumentCheck::Undated(check),
    has_check_characters: false,
    members: &[
        DataMember::personal("bank_account", DataKind::Code(6, 20), "The account for the payout"),
        DataMember::open("department", DataKind::Text(60), "The department of residence"),
        DataMember::open("stratum", DataKind::Integer(1, 6), "The socio-economic stratum of the residence"),
    ],
    thresholds: include_str!("../../config/countries/co.toml"),
    rules,
    #[cfg(test)]
    expected: tests::EXPECTED,
};

/// Increment this when a change to the rules below would decide an earlier case differently with the same thresholds.
const REVISION: u32 = 1;

/// `config/countries/co.toml`, which explains each key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    reference_annual_rate: AnnualRate,
    min_monthly_income: Amount,
    max_requested_amount: Amount,
    max_pti: Ratio,
    min_credit_score: CreditScore,
}

fn rules(file: &ThresholdsFile) -> Result<RulePack> {
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
    RulePack::new(Country::Co, REVISION, &t, t.reference_annual_rate, affordability, rules)
}

/// The prefix of a cédula de ciudadanía in registers and forms, where it is written as C.C.
const PREFIXES: [&str; 1] = ["CC"];

fn check(text: &str) -> Result<DocumentVerdict, ReasonCode> {
    let normalized = document::normalize(text)?;
    let normalized = document::without_prefix(&normalized, &PREFIXES).to_owned();
    if !(6..=10).contains(&normalized.len()) {
        return Err(ReasonCode::BadLength);
    }
    if normalized.starts_with('0') || !normalized.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ReasonCode::BadFormat);
    }
    Ok(DocumentVerdict::recognized(DocumentKind::Cedula, normalized, vec![], None))
}

#[cfg(test)]
mod tests {
    use super::super::table::{DecisionRow, DocumentRow, Expected, UNKNOWN, check, report, row};
    use crate::domain::application::Country;
    use crate::domain::banking::AccountStatus::{Closed, Inactive, Suspended, Unknown};
    use crate::domain::decision::Outcome::{Approved, Rejected, UnderReview};
    use crate::domain::decision::RuleKind::{Reject, Review};
    use proptest::prelude::*;

    pub(in super::super) const EXPECTED: Expected = Expected {
        rules_version: "co-2051abe45549ce52",
        reference_annual_rate: "0.25",
        rules: &[
            ("INCOME_TOO_LOW", Reject, Some("1500000.00")),
            ("AMOUNT_TOO_HIGH", Reject, Some("50000000.00")),
            ("PTI_TOO_HIGH", Reject, Some("0.4")),
            ("SCORE_TOO_LOW", Reject, Some("600")),
            ("RECORD_NOT_VERIFIED", Review, None),
            ("ACTIVE_DEFAULTS", Review, None),
        ],
        documents: DOCUMENTS,
        valid_document: || "[1-9][0-9]{5,9}".boxed(),
        cases,
    };

    const DOCUMENTS: &[DocumentRow] = &[
        ("1234567890", Ok("1234567890")),
        ("C.C. 1.234.567.890", Ok("1234567890")),
        ("CC 1234567890", Ok("1234567890")),
        ("CE 1234567890", Err(&["bad_length"])),
        ("123456", Ok("123456")),
        ("1234567", Ok("1234567")),
        ("12345678", Ok("12345678")),
        ("123456789", Ok("123456789")),
        ("9999999999", Ok("9999999999")),
        ("100000", Ok("100000")),
        ("1000000000", Ok("1000000000")),
        ("999999", Ok("999999")),
        ("111111", Ok("111111")),
        ("1111111111", Ok("1111111111")),
        ("52345678", Ok("52345678")),
        ("79123456", Ok("79123456")),
        ("1020304050", Ok("1020304050")),
        ("19876543", Ok("19876543")),
        ("41654321", Ok("41654321")),
        ("80000000", Ok("80000000")),
        ("1098765432", Ok("1098765432")),
        ("5000000", Ok("5000000")),
        ("654321", Ok("654321")),
        ("1.234.567.890", Ok("1234567890")),
        ("52.345.678", Ok("52345678")),
        (" 79 123 456 ", Ok("79123456")),
        ("1-234-567", Ok("1234567")),
        ("123/456", Ok("123456")),
        ("\t1234567\r\n", Ok("1234567")),
        ("", Err(&["bad_length"])),
        ("1", Err(&["bad_length"])),
        ("12345", Err(&["bad_length"])),
        ("12345678901", Err(&["bad_length"])),
        ("99999", Err(&["bad_length"])),
        ("1.2.3.4.5", Err(&["bad_length"])),
        ("ABCDE", Err(&["bad_length"])),
        ("000000000000", Err(&["bad_length"])),
        ("12345 ", Err(&["bad_length"])),
        ("0123456", Err(&["bad_format"])),
        ("012345678", Err(&["bad_format"])),
        ("0000000000", Err(&["bad_format"])),
        ("000000", Err(&["bad_format"])),
        ("12345A", Err(&["bad_format"])),
        ("A123456", Err(&["bad_format"])),
        ("12345678X", Err(&["bad_format"])),
        ("+573001234", Err(&["bad_format"])),
        ("123,456,7", Err(&["bad_format"])),
        ("12_34567", Err(&["bad_format"])),
        ("１２３４５６", Err(&["bad_format"])),
        ("123456\u{0}", Err(&["bad_format"])),
        ("ABCDEFGH", Err(&["bad_format"])),
        ("1234567é", Err(&["bad_format"])),
    ];

    fn cases() -> Vec<DecisionRow> {
        vec![
            // Plain cases.
            row("10000000", "3000000", 36, report("100000", 700).verified(true), Approved, "20.85", &[]),
            row("30000000", "5000000", 60, report("0", 660).verified(true), Approved, "27.03", &[]),
            // The score just below, at and just above its floor.
            row(
                "10000000",
                "3000000",
                36,
                report("100", 599).verified(true),
                Rejected,
                "50.00",
                &["SCORE_TOO_LOW"],
            ),
            row("10000000", "3000000", 36, report("100", 600).verified(true), Approved, "28.12", &[]),
            row("10000000", "3000000", 36, report("100", 601).verified(true), Approved, "28.05", &[]),
            // Defaults, and accounts that are not active.
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).with_loan_defaults().verified(true),
                UnderReview,
                "59.39",
                &["ACTIVE_DEFAULTS", "RISK_TOO_HIGH"],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).with_loan_defaults().account_status(Closed).verified(true),
                UnderReview,
                "59.39",
                &["ACTIVE_DEFAULTS", "RISK_TOO_HIGH"],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).account_status(Inactive).verified(true),
                Approved,
                "29.39",
                &[],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).account_status(Suspended).verified(true),
                Approved,
                "29.39",
                &[],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).account_status(Closed).verified(true),
                Approved,
                "29.39",
                &[],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).account_status(Unknown).verified(true),
                Approved,
                "29.39",
                &[],
            ),
            // Values that the bureau did not report.
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).without_account_status().verified(true),
                Approved,
                "19.39",
                &[],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("100", 850).without_score().verified(true),
                UnderReview,
                UNKNOWN,
                &["MISSING_CREDIT_SCORE"],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("0", 720).with_unknown_obligations().verified(true),
                Approved,
                "19.39",
                &[],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("100", 720).without_defaults().verified(true),
                UnderReview,
                "19.39",
                &["MISSING_HAS_DEFAULTS"],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("0", 850)
                    .with_unknown_obligations()
                    .without_score()
                    .without_defaults()
                    .without_account_status(),
                UnderReview,
                UNKNOWN,
                &["MISSING_CREDIT_SCORE", "MISSING_VERIFIED", "MISSING_HAS_DEFAULTS"],
            ),
            row(
                "10000000",
                "3000000",
                36,
                report("0", 599).with_unknown_obligations().with_loan_defaults().verified(true),
                Rejected,
                "88.19",
                &["SCORE_TOO_LOW", "ACTIVE_DEFAULTS"],
            ),
            // The best and the worst score.
            row("10000000", "3000000", 36, report("0", 850).verified(true), Approved, "9.94", &[]),
            row(
                "10000000",
                "3000000",
                36,
                report("0", 300).verified(true),
                Rejected,
                "69.94",
                &["SCORE_TOO_LOW"],
            ),
            // Income just below, at and just above 1,500,000.
            row(
                "5000000",
                "1499999.99",
                36,
                report("0", 780).verified(true),
                Rejected,
                "50.00",
                &["INCOME_TOO_LOW"],
            ),
            row("5000000", "1500000", 36, report("0", 780).verified(true), Approved, "15.03", &[]),
            row("5000000", "1500000.01", 36, report("0", 780).verified(true), Approved, "15.03", &[]),
            // The amount just below, at and just above 50,000,000.
            row("49999999.99", "9000000", 60, report("0", 780).verified(true), Approved, "17.32", &[]),
            row("50000000", "9000000", 60, report("0", 780).verified(true), Approved, "17.32", &[]),
            row(
                "50000000.01",
                "9000000",
                60,
                report("0", 780).verified(true),
                Rejected,
                "50.00",
                &["AMOUNT_TOO_HIGH"],
            ),
            // PTI just below, at and just above 40 %.
            row("20000000.00", "1987991.31", 36, report("0", 780).verified(true), Approved, "35.09", &[]),
            row("20000000.00", "1987991.30", 36, report("0", 780).verified(true), Approved, "35.09", &[]),
            row(
                "20000000.00",
                "1987991.29",
                36,
                report("0", 780).verified(true),
                Rejected,
                "55.09",
                &["PTI_TOO_HIGH"],
            ),
            // A record that is not verified, or whose verification is unknown.
            row(
                "10000000",
                "3000000",
                36,
                report("0", 720).verified(false),
                UnderReview,
                "29.39",
                &["RECORD_NOT_VERIFIED"],
            ),
            row("10000000", "3000000", 36, report("0", 720), UnderReview, "19.39", &["MISSING_VERIFIED"]),
            row(
                "10000000",
                "3000000",
                36,
                report("0", 720).with_loan_defaults().verified(false),
                UnderReview,
                "69.39",
                &["RECORD_NOT_VERIFIED", "ACTIVE_DEFAULTS", "RISK_TOO_HIGH"],
            ),
            // Obligations do not count: the measure is PTI.
            row("10000000", "3000000", 36, report("2900000", 700).verified(true), Approved, "20.85", &[]),
            // A risk of 50 or more goes to review even if no rule is violated.
            row(
                "15000000",
                "1600000",
                36,
                report("0", 601).account_status(Inactive).verified(true),
                UnderReview,
                "56.07",
                &["RISK_TOO_HIGH"],
            ),
            row(
                "10000000",
                "1600000",
                36,
                report("0", 601).account_status(Inactive).verified(true),
                Approved,
                "46.75",
                &[],
            ),
            // Several violations at the same time.
            row(
                "60000000",
                "1000000",
                6,
                report("1000", 300).with_loan_defaults().verified(false),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "AMOUNT_TOO_HIGH", "PTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            // The limits of the database column.
            row(
                "9999999999.99",
                "0.01",
                6,
                report("9999999999.99", 300).with_loan_defaults().verified(true),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "AMOUNT_TOO_HIGH", "PTI_TOO_HIGH", "SCORE_TOO_LOW"],
            ),
            row("0.01", "9999999999.99", 84, report("0", 850).verified(true), Approved, "0.00", &[]),
        ]
    }

    /// A wrong digit cannot be detected.
    #[test]
    fn some_changes_cannot_be_detected() {
        assert!(check(Country::Co, "1234567890").valid && check(Country::Co, "1234567891").valid);
    }
}
