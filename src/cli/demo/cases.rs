//! The applications that the demonstration sends.
//!
//! Each simulated bureau has a table of demo applications with invented names. Together they trigger every rule of the
//! country and every kind of report of its bureau. Their documents are the simulator's test documents, so the outcomes
//! are known; a test checks them against the rules. Only a server with simulated bureaus produces these outcomes.

use serde::Serialize;

use crate::domain::application::Country;
use crate::domain::status::Status::{self, UnderReview};
use crate::providers::simulator::bureau::{DEMO_APPLICATIONS, DemoApplication, demo_application};
use crate::providers::simulator::scenario::Scenario::{
    Malformed, RateLimited, ServerError, Timeout, Unauthorized, Unavailable,
};
use crate::providers::simulator::simulated;
use crate::providers::simulator::test_documents::test_documents;

/// One application to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DemoCase {
    /// Country of the application.
    pub(super) country: Country,
    /// An invented name.
    pub(super) full_name: &'static str,
    /// Test document that selects the simulator's response, normalized.
    pub(super) document: &'static str,
    /// In whole units of the country's currency.
    pub(super) requested_amount: u64,
    /// In whole units of the country's currency.
    pub(super) monthly_income: u64,
    pub(super) term_months: u16,
    /// Status after the decision if the bureau is simulated.
    pub(super) expected: Status,
}

/// Body of the request that creates an application.
#[derive(Serialize)]
pub(super) struct CreateRequest<'a> {
    country: Country,
    full_name: &'static str,
    identity_document: &'a str,
    requested_amount: String,
    monthly_income: String,
    term_months: u16,
}

impl DemoCase {
    /// The request body, with `document` instead of the test document.
    pub(super) fn request<'a>(&self, document: &'a str) -> CreateRequest<'a> {
        CreateRequest {
            country: self.country,
            full_name: self.full_name,
            identity_document: document,
            requested_amount: format!("{}.00", self.requested_amount),
            monthly_income: format!("{}.00", self.monthly_income),
            term_months: self.term_months,
        }
    }
}

/// One application for each kind of bureau failure. All are in one country, so only one breaker opens.
const OUTAGES: [DemoApplication; 6] = [
    demo_application(ServerError, "Bruno Cardoso Vieira", (10_000, 6_000, 36), UnderReview),
    demo_application(Unavailable, "Aline Siqueira Bastos", (10_000, 6_000, 36), UnderReview),
    demo_application(Malformed, "Diego Peixoto Araújo", (10_000, 6_000, 36), UnderReview),
    demo_application(Unauthorized, "Isabela Couto Ramos", (10_000, 6_000, 36), UnderReview),
    demo_application(RateLimited, "Thiago Macedo Paiva", (10_000, 6_000, 36), UnderReview),
    demo_application(Timeout, "Vanessa Dantas Leal", (10_000, 6_000, 36), UnderReview),
];

/// The first `count` applications. Countries alternate, each starting at a different demo application, so even a
/// short run has every outcome. The sequence repeats after one round.
pub(super) fn plan(count: usize) -> Vec<DemoCase> {
    let rounds = (0..DEMO_APPLICATIONS).cycle();
    let endless = rounds.flat_map(|round| {
        Country::ALL.into_iter().enumerate().filter_map(move |(place, country)| {
            let application =
                simulated(country).demo_applications.get((round + place) % DEMO_APPLICATIONS)?;
            case(country, application)
        })
    });
    endless.take(count).collect()
}

/// Applications whose bureau fails.
pub(super) fn outages() -> Vec<DemoCase> {
    OUTAGES.iter().filter_map(|application| case(Country::Br, application)).collect()
}

/// `None` if the country has no test document for the scenario. A test ensures that all cases have one.
fn case(country: Country, application: &DemoApplication) -> Option<DemoCase> {
    let row = test_documents().find(|row| row.country == country && row.scenario == application.scenario)?;
    Some(DemoCase {
        country,
        full_name: application.full_name,
        document: row.document,
        requested_amount: application.requested_amount,
        monthly_income: application.monthly_income,
        term_months: application.term_months,
        expected: application.expected,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rust_decimal::Decimal;

    use super::*;
    use crate::countries::Countries;
    use crate::domain::application::TermMonths;
    use crate::domain::banking::BankingData;
    use crate::domain::decision::{Case, Decision, RuleKind};
    use crate::domain::money::Money;
    use crate::domain::personal_data::FullName;
    use crate::domain::status::Status::Rejected;
    use crate::providers::provider_for;
    use crate::providers::simulator::record::BureauRecord;
    use crate::providers::simulator::test_documents::{Outcome, outcome_of};

    const ONE_ROUND: usize = DEMO_APPLICATIONS * Country::ALL.len();

    /// The adapter's result for a record.
    fn reported(country: Country, record: &BureauRecord) -> BankingData {
        let report = simulated(country).format.write_report(record);
        provider_for(country).parse(report.as_bytes()).unwrap()
    }

    fn decide(case: &DemoCase) -> Decision {
        let banking_data = match outcome_of(case.country, case.document) {
            Outcome::Report(record) => reported(case.country, &record),
            Outcome::NotFound => BankingData::thin_file("bureau"),
            other => panic!("{case:?}: {other:?}"),
        };
        Countries::built_in().unwrap().rules(case.country).evaluate(&Case {
            requested_amount: Money::from_decimal(Decimal::from(case.requested_amount)).unwrap(),
            monthly_income: Money::from_decimal(Decimal::from(case.monthly_income)).unwrap(),
            term_months: TermMonths::new(i64::from(case.term_months)).unwrap(),
            banking_data,
            applied_elsewhere: false,
        })
    }

    #[test]
    fn every_case_has_the_expected_decision() {
        for case in plan(ONE_ROUND) {
            let decision = decide(&case);
            assert_eq!(Status::from(decision.status), case.expected, "{case:?}: {:?}", decision.reasons);
        }
    }

    #[test]
    fn together_the_cases_violate_every_rule_of_every_country() {
        let mut violated: BTreeMap<Country, BTreeSet<String>> = BTreeMap::new();
        for case in plan(ONE_ROUND) {
            violated.entry(case.country).or_default().extend(decide(&case).reasons);
        }
        let countries = Countries::built_in().unwrap();
        for country in Country::ALL {
            for rule in countries.rules(country).describe().rules {
                assert!(violated[&country].contains(rule.code), "{country}: {}", rule.code);
            }
        }
    }

    #[test]
    fn each_rejection_comes_from_a_reject_rule() {
        for case in plan(ONE_ROUND).iter().filter(|case| case.expected == Rejected) {
            let decision = decide(case);
            let by = decision.rules.iter().find(|rule| decision.reasons.first() == Some(&rule.code));
            assert_eq!(by.map(|rule| rule.kind), Some(RuleKind::Reject), "{case:?}");
        }
    }

    #[test]
    fn every_case_has_a_document_and_every_country_has_every_outcome() {
        let cases = plan(ONE_ROUND);
        let mut outcomes: BTreeMap<Country, BTreeSet<Status>> = BTreeMap::new();
        for case in &cases {
            outcomes.entry(case.country).or_default().insert(case.expected);
        }
        assert_eq!(outcomes.len(), Country::ALL.len());
        assert!(outcomes.values().all(|seen| seen.len() == 3), "{outcomes:?}");
        let different: BTreeSet<_> =
            cases.iter().map(|case| (case.document, case.requested_amount, case.monthly_income)).collect();
        assert_eq!(different.len(), ONE_ROUND);
        assert_eq!(outages().len(), OUTAGES.len());
    }

    #[test]
    fn the_first_round_covers_every_country_and_every_outcome() {
        let cases = plan(Country::ALL.len());
        assert_eq!(cases.iter().map(|case| case.country).collect::<Vec<_>>(), Country::ALL);
        assert_eq!(cases.iter().map(|case| case.expected).collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn a_long_run_repeats_the_cases() {
        let cases = plan(ONE_ROUND + 1);
        assert_eq!(cases.first(), cases.last());
        assert!(plan(0).is_empty());
    }

    #[test]
    fn a_document_always_belongs_to_the_same_person() {
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for case in plan(ONE_ROUND).into_iter().chain(outages()) {
            assert!(FullName::parse(case.full_name).is_some());
            assert_eq!(*owners.entry(case.document).or_insert(case.full_name), case.full_name);
        }
    }

    #[test]
    fn a_request_has_the_fields_of_the_api() {
        let request = serde_json::to_value(plan(1)[0].request("12345678Z")).unwrap();
        assert_eq!(
            request,
            serde_json::json!({
                "country": "ES",
                "full_name": "Lucía Fernández Ortega",
                "identity_document": "12345678Z",
                "requested_amount": "9000.00",
                "monthly_income": "2600.00",
                "term_months": 36,
            })
        );
    }
}
