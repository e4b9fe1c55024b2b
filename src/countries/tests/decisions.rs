//! Properties of decisions on arbitrary cases.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use rust_decimal::Decimal;
use serde_json::json;

use super::super::evaluation::{RISK_TOO_HIGH, THIN_FILE};
use super::super::table::{case, evaluate, report};
use crate::domain::application::{Country, TermMonths};
use crate::domain::banking::{AccountStatus, BankingData, CreditScore, FallbackReason};
use crate::domain::decision::{
    APPLIED_ELSEWHERE, Case, Decision, Outcome, PROVIDER_NEEDS_REVIEW, PROVIDER_REJECTED,
    PROVIDER_UNAVAILABLE, RiskPart, RuleKind, RuleResult,
};
use crate::domain::money::Money;

fn cents(cents: u64) -> Money {
    Money::parse(&format!("{}.{:02}", cents / 100, cents % 100)).unwrap()
}

/// Amounts that the database column can store, including zero. Small, ordinary and huge ones are equally frequent.
fn money() -> impl Strategy<Value = Money> {
    prop_oneof![0u64..=100, 0u64..=10_000_000, 0u64..=999_999_999_999, Just(999_999_999_999)].prop_map(cents)
}

fn banking_data() -> impl Strategy<Value = BankingData> {
    use AccountStatus::{Active, Closed, Inactive, Suspended, Unknown};
    let status = select(vec![Active, Inactive, Suspended, Closed, Unknown]);
    let score = (300i64..=850).prop_map(|score| CreditScore::new(score).unwrap());
    let report = (of(status), of(score), of(money()), of(any::<bool>()), of(money()), of(any::<bool>()));
    (report, 0u8..8).prop_map(|((status, score, obligations, defaults, average, verified), mark)| {
        let mut data = BankingData::empty("bureau");
        data.account_status = status;
        data.credit_score = score;
        data.monthly_obligations = obligations;
        data.has_defaults = defaults;
        data.average_monthly_income = average;
        data.verified = verified;
        match mark {
            0 => data.additional_data.insert("fallback".to_owned(), json!(true)),
            1 => data.additional_data.insert("thin_file".to_owned(), json!(true)),
            _ => None,
        };
        data
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    let term = (6i64..=84).prop_map(|months| TermMonths::new(months).unwrap());
    (money(), money(), term, banking_data(), any::<bool>()).prop_map(
        |(requested_amount, monthly_income, term_months, data, applied_elsewhere)| Case {
            requested_amount,
            monthly_income,
            term_months,
            banking_data: data,
            applied_elsewhere,
        },
    )
}

fn country() -> impl Strategy<Value = Country> {
    select(Country::ALL.to_vec())
}

/// Orders outcomes from worst to best for the applicant.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Rejected => 0,
        Outcome::UnderReview => 1,
        Outcome::Approved => 2,
    }
}

/// Checks that `better` has neither a worse status nor a higher risk than `worse`.
fn assert_no_worse(better: &Decision, worse: &Decision) -> Result<(), TestCaseError> {
    prop_assert!(rank(better.status) >= rank(worse.status), "{better:?}\n{worse:?}");
    if let (Some(low), Some(high)) = (better.risk_score, worse.risk_score) {
        prop_assert!(low <= high, "{better:?}\n{worse:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_parts_of_a_risk_score_add_up_to_it(country in country(), case in any_case()) {
        let decision = evaluate(country, &case);
        prop_assert_eq!(decision.risk_score.is_some(), decision.risk_components.is_some());
        let (Some(score), Some(parts)) = (decision.risk_score, decision.risk_components) else { return Ok(()) };
        prop_assert_eq!(parts.iter().map(|part| part.points).sum::<Decimal>(), score, "{:?}", parts);
        let expected = RiskPart::ALL.into_iter().filter(|part| parts.iter().any(|found| found.component == *part));
        prop_assert!(parts.iter().map(|part| part.component).eq(expected), "in order, each at most once: {:?}", parts);
        for part in &parts {
            let (least, most) = match part.component {
                RiskPart::Credit => (0, 40),
                RiskPart::Affordability | RiskPart::History => (0, 30),
                RiskPart::RejectingRules | RiskPart::ReviewRules => (0, 1000),
                RiskPart::Cap => (-1000, 0),
                RiskPart::Minimum => (0, 50),
            };
            prop_assert!((Decimal::from(least)..=Decimal::from(most)).contains(&part.points), "{:?}", part);
            prop_assert!(part.component != RiskPart::Cap || part.points < Decimal::ZERO, "{:?}", part);
            prop_assert_eq!(part.points.scale(), 2);
        }
    }

    #[test]
    fn every_case_has_a_consistent_decision(country in country(), case in any_case()) {
        let decision = evaluate(country, &case);
        prop_assert_eq!(&decision, &evaluate(country, &case));
        let has = |kind, result| decision.rules.iter().any(|rule| rule.kind == kind && rule.result == result);
        let rejected = has(RuleKind::Reject, RuleResult::Broken);
        let fallback = case.banking_data.is_fallback();

        prop_assert!(decision.reasons.len() <= 4);
        prop_assert_eq!(decision.reasons.is_empty(), decision.status == Outcome::Approved);
        prop_assert_eq!(decision.status == Outcome::Rejected, rejected && !fallback);
        if decision.status == Outcome::Approved {
            prop_assert!(decision.rules.iter().all(|rule| rule.result == RuleResult::Passed));
            prop_assert!(!case.banking_data.is_thin_file() && !case.applied_elsewhere);
        }
        if let Some(risk) = decision.risk_score {
            prop_assert!(!fallback && risk.scale() == 2);
            prop_assert!(risk >= Decimal::ZERO && risk <= Decimal::ONE_HUNDRED);
            prop_assert!(decision.status != Outcome::Rejected || risk >= Decimal::from(50));
            prop_assert!(decision.status != Outcome::Approved || risk < Decimal::from(50));
        }
        if fallback {
            prop_assert_eq!(decision.reasons.first().map(String::as_str), Some(PROVIDER_UNAVAILABLE));
        }
    }

    #[test]
    fn the_verdict_of_a_bureau_is_the_outcome_and_the_first_reason(country in country(), case in any_case()) {
        for (label, status, reason) in [
            ("rejected", Outcome::Rejected, PROVIDER_REJECTED),
            ("needs_review", Outcome::UnderReview, PROVIDER_NEEDS_REVIEW),
        ] {
            let mut reported = case.clone();
            reported.banking_data.additional_data.insert("reported_outcome".to_owned(), json!(label));
            let decision = evaluate(country, &reported);
            if case.banking_data.is_fallback() {
                prop_assert_eq!(&decision, &evaluate(country, &case), "fallback figures contain no verdict");
                continue;
            }
            prop_assert_eq!(decision.status, status);
            prop_assert_eq!(decision.reasons.first().map(String::as_str), Some(reason));
            let at_least = if status == Outcome::Rejected { Decimal::from(50) } else { Decimal::ZERO };
            prop_assert!(decision.risk_score.is_none_or(|risk| risk >= at_least && risk.scale() == 2));
        }
    }

    #[test]
    fn a_better_score_never_harms(country in country(), case in any_case(), scores in (300i64..=850, 300i64..=850)) {
        let with = |score| {
            let mut case = case.clone();
            case.banking_data.credit_score = CreditScore::new(score);
            evaluate(country, &case)
        };
        assert_no_worse(&with(scores.0.max(scores.1)), &with(scores.0.min(scores.1)))?;
    }

    #[test]
    fn lower_obligations_never_harm(country in country(), case in any_case(), a in money(), b in money()) {
        let with = |obligations| {
            let mut case = case.clone();
            case.banking_data.monthly_obligations = Some(obligations);
            evaluate(country, &case)
        };
        assert_no_worse(&with(a.min(b)), &with(a.max(b)))?;
    }

    #[test]
    fn a_smaller_amount_never_harms(country in country(), case in any_case(), a in money(), b in money()) {
        let with = |amount| evaluate(country, &Case { requested_amount: amount, ..case.clone() });
        assert_no_worse(&with(a.min(b)), &with(a.max(b)))?;
    }

    /// In Italy a higher declared income may deviate more from the average, so the average is omitted.
    #[test]
    fn a_higher_income_never_harms(country in country(), mut case in any_case(), a in money(), b in money()) {
        case.banking_data.average_monthly_income = None;
        let with = |income| evaluate(country, &Case { monthly_income: income, ..case.clone() });
        assert_no_worse(&with(a.max(b)), &with(a.min(b)))?;
    }

    #[test]
    fn having_no_defaults_never_harms(country in country(), case in any_case()) {
        let with = |defaults| {
            let mut case = case.clone();
            case.banking_data.has_defaults = Some(defaults);
            evaluate(country, &case)
        };
        assert_no_worse(&with(false), &with(true))?;
    }
}

#[test]
fn fallback_figures_are_not_evaluated_and_never_reject() {
    for country in Country::ALL {
        let mut failing = case("9999999999.99", "1", 6, report("0", 300));
        failing.banking_data = BankingData::fallback("bureau", FallbackReason::CircuitOpen, "open");
        let decision = evaluate(country, &failing);
        assert_eq!((decision.status, decision.risk_score), (Outcome::UnderReview, None), "{country}");
        assert_eq!(decision.reasons[0], PROVIDER_UNAVAILABLE);
        assert!(decision.reasons.len() > 1, "{country}: rules without bureau data are reported");
        for rule in &decision.rules {
            let needs_bureau_data = rule.inputs.keys().any(|input| {
                ["credit_score", "monthly_obligations", "has_defaults", "average_monthly_income", "verified"]
                    .contains(&input.as_str())
            });
            assert_eq!(needs_bureau_data, rule.result == RuleResult::NotEvaluated, "{rule:?}");
        }
    }
}

#[test]
fn a_person_unknown_to_the_bureau_goes_to_review() {
    for country in Country::ALL {
        let mut unknown = case("10000", "2000000", 36, report("0", 300));
        unknown.banking_data = BankingData::thin_file("bureau");
        let decision = evaluate(country, &unknown);
        assert_eq!((decision.status, decision.risk_score), (Outcome::UnderReview, None), "{country}");
        assert_eq!(decision.reasons, [THIN_FILE], "{country}");
    }
}

#[test]
fn a_thin_file_does_not_override_a_rule_without_bureau_data() {
    let mut low_income = case("10000", "700", 36, report("0", 300));
    low_income.banking_data = BankingData::thin_file("bureau");
    let decision = evaluate(Country::Pt, &low_income);
    assert_eq!(decision.status, Outcome::Rejected);
    assert_eq!(decision.reasons, ["INCOME_TOO_LOW", THIN_FILE]);
}

#[test]
fn a_thin_file_goes_to_review_even_if_it_contains_figures() {
    let mut marked = case("15000", "3500", 36, report("300", 720));
    marked.banking_data.additional_data.insert("thin_file".to_owned(), json!(true));
    let decision = evaluate(Country::Es, &marked);
    assert_eq!(decision.status, Outcome::UnderReview);
    assert_eq!(decision.reasons, [THIN_FILE]);
}

#[test]
fn a_document_used_by_another_account_goes_to_review_without_added_risk() {
    let alone = case("15000", "3500", 36, report("300", 720));
    let elsewhere = Case { applied_elsewhere: true, ..alone.clone() };
    let (alone, elsewhere) = (evaluate(Country::Es, &alone), evaluate(Country::Es, &elsewhere));
    assert_eq!((alone.status, elsewhere.status), (Outcome::Approved, Outcome::UnderReview));
    assert_eq!(elsewhere.reasons, [APPLIED_ELSEWHERE]);
    assert_eq!(elsewhere.risk_score, alone.risk_score);

    let failing = Case { applied_elsewhere: true, ..case("15000", "1000", 36, report("900", 500)) };
    let rejected = evaluate(Country::Es, &failing);
    assert_eq!(rejected.status, Outcome::Rejected, "the other application must not improve the outcome");
    assert!(rejected.reasons.contains(&APPLIED_ELSEWHERE.to_owned()));
}

#[test]
fn a_risk_of_exactly_50_goes_to_review() {
    // 40 * 250 / 550 = 18.18 for a score of 600 and 10 for the account status leave 21.82 of 30 for the DTI.
    let at = |obligations: &str| {
        let report = report(obligations, 600).account_status(AccountStatus::Closed);
        evaluate(Country::Es, &case("15000", "3500", 36, report))
    };
    let (below, reached) = (at("547.80"), at("548.10"));
    assert_eq!((below.status, below.risk_score.unwrap().to_string().as_str()), (Outcome::Approved, "49.99"));
    assert_eq!(
        (reached.status, reached.risk_score.unwrap().to_string().as_str()),
        (Outcome::UnderReview, "50.00")
    );
    assert_eq!(reached.reasons, [RISK_TOO_HIGH]);
}
