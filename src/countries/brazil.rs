//! Brazil: CPF, reais, Serasa Experian.
//!
//! **Document.** The Cadastro de Pessoas Físicas number has eleven digits. The last two are check digits (Receita
//! Federal). For the first, the first nine digits weighted 10 down to 2 sum to `s`, and the check digit is `11 - s mod
//! 11`, or 0 if that is 10 or 11. The second is computed in the same way from ten digits with weights 11 to 2. Numbers
//! with eleven equal digits pass both checks but are never issued. Because two remainders result in the digit 0, a single
//! wrong digit may go undetected in a CPF whose first check digit is 0. In any other CPF, it is detected.
//!
//! **Rules.** Rejects: income below 2,000 reais, an amount above 100,000 reais, LTI above 5, DTI above 35 %, a score below
//! 550 (mapped from Serasa's 0 to 1000). Reviews: active defaults.

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

pub(super) static BRAZIL: Definition = Definition {
    country: Country::Br,
    bureau: "Serasa Experian",
    document: DocumentDescription {
        kinds: &[DocumentKind::Cpf],
        description: "CPF (11 digits, of which the last two are check digits)",
        format: "^[0-9]{11}$",
        sample: "12345678909",
    },
    check: DocumentCheck::Undated(check),
    has_check_characters: true,
    members: &[
        DataMember::personal("pix_key", DataKind::Text(77), "The Pix key for the payout"),
        DataMember::personal("bank_account", DataKind::Code(6, 20), "The account for the payout"),
        DataMember::personal("rg", DataKind::Code(5, 14), "The number of the identity card (RG)"),
        DataMember::open("state", DataKind::Text(60), "The state of residence"),
    ],
    thresholds: include_str!("../../config/countries/br.toml"),
    rules,
    #[cfg(test)]
    expected: tests::EXPECTED,
};

/// Increment this when a change to the rules below would decide an earlier case differently with the same thresholds.
const REVISION: u32 = 1;

/// `config/countries/br.toml`, which explains each key.
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

fn rules(file: &ThresholdsFile) -> Result<RulePack> {
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
    RulePack::new(Country::Br, REVISION, &t, t.reference_annual_rate, affordability, rules)
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
    Ok(DocumentVerdict::recognized(DocumentKind::Cpf, document::to_text(&normalized), reasons, None))
}

/// The check digit of `digits`. The weights are 2, 3, 4 and so on, from the last digit to the first.
fn check_digit(digits: &[u32]) -> u32 {
    let sum: u32 = digits.iter().rev().zip(2..).map(|(digit, weight)| digit * weight).sum();
    (11 - sum % 11) % 11 % 10
}

#[cfg(test)]
mod tests {
    use super::super::table::{
        DecisionRow, DocumentRow, Expected, UNKNOWN, changed, check, replacement, report, row, weighted,
    };
    use crate::domain::application::Country;
    use crate::domain::banking::AccountStatus::{Closed, Inactive, Suspended, Unknown};
    use crate::domain::decision::Outcome::{Approved, Rejected, UnderReview};
    use crate::domain::decision::RuleKind::{Reject, Review};
    use proptest::prelude::*;
    use proptest::sample::Index;

    pub(in super::super) const EXPECTED: Expected = Expected {
        rules_version: "br-8061dd2ba4f72882",
        reference_annual_rate: "0.3",
        rules: &[
            ("INCOME_TOO_LOW", Reject, Some("2000.00")),
            ("AMOUNT_TOO_HIGH", Reject, Some("100000.00")),
            ("LTI_TOO_HIGH", Reject, Some("5")),
            ("DTI_TOO_HIGH", Reject, Some("0.35")),
            ("SCORE_TOO_LOW", Reject, Some("550")),
            ("ACTIVE_DEFAULTS", Review, None),
        ],
        documents: DOCUMENTS,
        valid_document: || brazilian().boxed(),
        cases,
    };

    const DOCUMENTS: &[DocumentRow] = &[
        ("12345678909", Ok("12345678909")),
        ("11144477735", Ok("11144477735")),
        ("52998224725", Ok("52998224725")),
        ("00000000191", Ok("00000000191")),
        ("98765432100", Ok("98765432100")),
        ("39053344705", Ok("39053344705")),
        ("86828877039", Ok("86828877039")),
        ("10000000019", Ok("10000000019")),
        ("01234567890", Ok("01234567890")),
        ("74697131401", Ok("74697131401")),
        ("28450326095", Ok("28450326095")),
        ("99999999050", Ok("99999999050")),
        ("04040404033", Ok("04040404033")),
        ("31415926590", Ok("31415926590")),
        ("27182818205", Ok("27182818205")),
        ("16180339805", Ok("16180339805")),
        ("20000000027", Ok("20000000027")),
        ("30000001600", Ok("30000001600")),
        ("30000000205", Ok("30000000205")),
        ("30000000540", Ok("30000000540")),
        ("123.456.789-09", Ok("12345678909")),
        ("529.982.247-25", Ok("52998224725")),
        (" 123 456 789/09 ", Ok("12345678909")),
        ("12345678900", Err(&["bad_check_digit"])),
        ("12345678919", Err(&["bad_check_digit"])),
        ("21144477735", Err(&["bad_check_digit"])),
        ("52998224225", Err(&["bad_check_digit"])),
        ("39073344705", Err(&["bad_check_digit"])),
        ("98765432109", Err(&["bad_check_digit"])),
        ("00000000000", Err(&["repeated_digits"])),
        ("11111111111", Err(&["repeated_digits"])),
        ("22222222222", Err(&["repeated_digits"])),
        ("33333333333", Err(&["repeated_digits"])),
        ("44444444444", Err(&["repeated_digits"])),
        ("55555555555", Err(&["repeated_digits"])),
        ("66666666666", Err(&["repeated_digits"])),
        ("77777777777", Err(&["repeated_digits"])),
        ("88888888888", Err(&["repeated_digits"])),
        ("99999999999", Err(&["repeated_digits"])),
        ("", Err(&["bad_length"])),
        ("1234567890", Err(&["bad_length"])),
        ("123456789090", Err(&["bad_length"])),
        ("123.456.789", Err(&["bad_length"])),
        ("1234567890A", Err(&["bad_format"])),
        ("ABCDEFGHIJK", Err(&["bad_format"])),
        ("12345678９09", Err(&["bad_format"])),
        ("123,456,789,09", Err(&["bad_format"])),
        ("123_4567890", Err(&["bad_format"])),
        ("1234567890²", Err(&["bad_format"])),
    ];

    fn cases() -> Vec<DecisionRow> {
        vec![
            // Plain cases.
            row("20000", "8000", 36, report("500", 700), Approved, "25.36", &[]),
            row("50000", "12000", 60, report("300", 660), Approved, "27.52", &[]),
            // The score just below, at and just above its floor.
            row("20000", "8000", 36, report("100", 549), Rejected, "52.06", &["SCORE_TOO_LOW"]),
            row("20000", "8000", 36, report("100", 550), Approved, "31.99", &[]),
            row("20000", "8000", 36, report("100", 551), Approved, "31.91", &[]),
            // Defaults, and accounts that are not active.
            row(
                "20000",
                "8000",
                36,
                report("100", 720).with_loan_defaults(),
                UnderReview,
                "59.62",
                &["ACTIVE_DEFAULTS", "RISK_TOO_HIGH"],
            ),
            row(
                "20000",
                "8000",
                36,
                report("100", 720).with_loan_defaults().account_status(Closed),
                UnderReview,
                "59.62",
                &["ACTIVE_DEFAULTS", "RISK_TOO_HIGH"],
            ),
            row("20000", "8000", 36, report("100", 720).account_status(Inactive), Approved, "29.62", &[]),
            row("20000", "8000", 36, report("100", 720).account_status(Suspended), Approved, "29.62", &[]),
            row("20000", "8000", 36, report("100", 720).account_status(Closed), Approved, "29.62", &[]),
            row("20000", "8000", 36, report("100", 720).account_status(Unknown), Approved, "29.62", &[]),
            // Values that the bureau did not report.
            row("20000", "8000", 36, report("100", 720).without_account_status(), Approved, "19.62", &[]),
            row(
                "20000",
                "8000",
                36,
                report("100", 850).without_score(),
                UnderReview,
                UNKNOWN,
                &["MISSING_CREDIT_SCORE"],
            ),
            row(
                "20000",
                "8000",
                36,
                report("0", 720).with_unknown_obligations(),
                UnderReview,
                UNKNOWN,
                &["MISSING_MONTHLY_OBLIGATIONS"],
            ),
            row(
                "20000",
                "8000",
                36,
                report("100", 720).without_defaults(),
                UnderReview,
                "19.62",
                &["MISSING_HAS_DEFAULTS"],
            ),
            row(
                "20000",
                "8000",
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
                "20000",
                "8000",
                36,
                report("0", 549).with_unknown_obligations().with_loan_defaults(),
                Rejected,
                UNKNOWN,
                &["SCORE_TOO_LOW", "ACTIVE_DEFAULTS", "MISSING_MONTHLY_OBLIGATIONS"],
            ),
            // The best and the worst score.
            row("20000", "8000", 36, report("0", 850), Approved, "9.10", &[]),
            row("20000", "8000", 36, report("0", 300), Rejected, "69.10", &["SCORE_TOO_LOW"]),
            // Income just below, at and just above 2,000.
            row("5000", "1999.99", 36, report("0", 780), Rejected, "50.00", &["INCOME_TOO_LOW"]),
            row("5000", "2000", 36, report("0", 780), Approved, "14.19", &[]),
            row("5000", "2000.01", 36, report("0", 780), Approved, "14.19", &[]),
            // The amount just below, at and just above 100,000.
            row("99999.99", "20000", 60, report("0", 780), Approved, "18.96", &[]),
            row("100000", "20000", 60, report("0", 780), Approved, "18.96", &[]),
            row("100000.01", "20000", 60, report("0", 780), Rejected, "50.00", &["AMOUNT_TOO_HIGH"]),
            // LTI just below, at and just above 5; the amount and DTI rules are violated as well.
            row(
                "119999.99",
                "2000",
                84,
                report("0", 780),
                Rejected,
                "75.09",
                &["AMOUNT_TOO_HIGH", "DTI_TOO_HIGH"],
            ),
            row(
                "120000",
                "2000",
                84,
                report("0", 780),
                Rejected,
                "75.09",
                &["AMOUNT_TOO_HIGH", "DTI_TOO_HIGH"],
            ),
            row(
                "120000.01",
                "2000",
                84,
                report("0", 780),
                Rejected,
                "95.09",
                &["AMOUNT_TOO_HIGH", "LTI_TOO_HIGH", "DTI_TOO_HIGH"],
            ),
            // DTI just below, at and just above 35 %.
            row("20000", "8000", 36, report("1950.96", 800), Approved, "33.64", &[]),
            row("20000", "8000", 36, report("1950.97", 800), Approved, "33.64", &[]),
            row("20000", "8000", 36, report("1950.98", 800), Rejected, "53.64", &["DTI_TOO_HIGH"]),
            // A risk of 50 or more goes to review even if no rule is violated.
            row(
                "20000",
                "8000",
                36,
                report("1900", 560).account_status(Unknown),
                UnderReview,
                "60.54",
                &["RISK_TOO_HIGH"],
            ),
            // Several violations at the same time.
            row(
                "700000",
                "1000",
                6,
                report("1000", 300).with_loan_defaults(),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "AMOUNT_TOO_HIGH", "LTI_TOO_HIGH", "DTI_TOO_HIGH"],
            ),
            // The limits of the database column.
            row(
                "9999999999.99",
                "0.01",
                6,
                report("9999999999.99", 300).with_loan_defaults(),
                Rejected,
                "100.00",
                &["INCOME_TOO_LOW", "AMOUNT_TOO_HIGH", "LTI_TOO_HIGH", "DTI_TOO_HIGH"],
            ),
            row("0.01", "9999999999.99", 84, report("0", 850), Approved, "0.00", &[]),
        ]
    }

    fn brazilian() -> impl Strategy<Value = String> {
        "[0-9]{9}".prop_filter_map("digits that differ", |mut text| {
            let first = text.chars().next()?;
            if text.chars().all(|c| c == first) {
                return None;
            }
            for first_weight in [10, 11] {
                let check = match weighted(&text, first_weight) % 11 {
                    0 | 1 => 0,
                    remainder => 11 - remainder,
                };
                text.push_str(&check.to_string());
            }
            Some(text)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

    /// Two remainders result in the check digit 0, so a change of the first nine digits may go undetected if the first
    /// check digit is 0.
    #[test]
    fn any_single_change_of_a_cpf_whose_first_check_digit_is_not_0_is_refused(
        text in brazilian(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, place)) = changed(&text, place, c) else { return Ok(()) };
        if text.chars().nth(9) == Some('0') && place < 9 {
            return Ok(());
        }
        prop_assert!(!check(Country::Br, &other).valid, "{} -> {}", text, other);
    }
    }

    /// The exception in the property above is necessary: this change is not detected.
    #[test]
    fn some_changes_cannot_be_detected() {
        assert!(check(Country::Br, "12345670401").valid && check(Country::Br, "02345670401").valid);
    }
}
