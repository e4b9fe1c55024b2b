//! The applications that the demonstration sends.
//!
//! Each country has a table of ten stories with invented names. Together they trigger every rule of the country and
//! every kind of report of its bureau. Their documents are the simulator's test documents, so the outcomes are known; a
//! test checks them against the rules. Only a server with simulated bureaus produces these outcomes.

use serde::Serialize;

use crate::domain::application::Country::{self, Br, Co, Es, It, Mx, Pt};
use crate::domain::status::Status::{self, Approved, Rejected, UnderReview};
use crate::providers::simulator::test_documents::Scenario::{
    self, Approve, Defaults, HighObligations, IncomeMismatch, LowScore, Malformed, NoObligations, NoScore,
    RateLimited, ServerError, Suspended, ThinFile, Timeout, Unauthorized, Unavailable, Unverified,
};
use crate::providers::simulator::test_documents::TEST_DOCUMENTS;

/// One application to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DemoCase {
    /// Country of the application.
    pub(super) country: Country,
    /// An invented name.
    pub(super) full_name: &'static str,
    /// Test document that selects the simulator's answer, normalized.
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

struct Story {
    scenario: Scenario,
    full_name: &'static str,
    requested_amount: u64,
    monthly_income: u64,
    term_months: u16,
    expected: Status,
}

const fn story(
    scenario: Scenario,
    full_name: &'static str,
    (requested_amount, monthly_income, term_months): (u64, u64, u16),
    expected: Status,
) -> Story {
    Story { scenario, full_name, requested_amount, monthly_income, term_months, expected }
}

const STORIES_EACH: usize = 10;

const SPAIN: [Story; STORIES_EACH] = [
    story(Approve, "Lucía Fernández Ortega", (9_000, 2_600, 36), Approved),
    story(LowScore, "Javier Molina Prieto", (6_000, 2_500, 36), Rejected),
    story(ThinFile, "Nerea Aguirre Lasa", (4_500, 1_900, 24), UnderReview),
    story(HighObligations, "Óscar Benítez Roca", (12_000, 2_500, 48), Rejected),
    story(Suspended, "Carmen Vidal Serra", (5_000, 2_800, 36), Approved),
    story(Defaults, "Raúl Cano Espinosa", (7_500, 2_400, 36), Rejected),
    // Above 20,000 euros.
    story(Approve, "Lucía Fernández Ortega", (28_000, 6_000, 60), UnderReview),
    story(NoScore, "Iván Sancho Marín", (3_000, 2_100, 24), UnderReview),
    story(NoObligations, "Marta Quintana Leal", (8_000, 2_900, 36), UnderReview),
    story(Approve, "Lucía Fernández Ortega", (15_000, 3_500, 36), Approved),
];

const PORTUGAL: [Story; STORIES_EACH] = [
    story(Approve, "Inês Carvalho Matos", (5_000, 1_600, 36), Approved),
    story(LowScore, "Tiago Moreira Pinto", (4_000, 1_500, 36), Rejected),
    story(NoScore, "Beatriz Lourenço Dias", (3_500, 1_700, 36), UnderReview),
    // Below 800 euros a month.
    story(Approve, "Inês Carvalho Matos", (1_500, 750, 36), Rejected),
    story(Suspended, "Rui Tavares Nogueira", (3_000, 1_900, 48), Approved),
    story(HighObligations, "Sofia Antunes Reis", (6_000, 1_500, 48), Rejected),
    story(ThinFile, "Duarte Faria Leite", (2_500, 1_300, 24), UnderReview),
    story(Defaults, "Vera Coelho Simões", (4_500, 1_800, 36), Rejected),
    story(NoObligations, "Nuno Barros Amaral", (5_500, 2_000, 36), UnderReview),
    // Above four annual incomes.
    story(Approve, "Inês Carvalho Matos", (80_000, 1_600, 84), Rejected),
];

const ITALY: [Story; STORIES_EACH] = [
    story(Approve, "Mario Rossetti", (10_000, 3_000, 36), Approved),
    story(Defaults, "Paolo Ferrante", (10_000, 3_000, 36), Rejected),
    // CRIF reports 900 euros a month.
    story(IncomeMismatch, "Davide Bellini", (8_000, 3_000, 36), UnderReview),
    story(LowScore, "Stefano Galli", (7_000, 3_000, 36), Rejected),
    story(Suspended, "Enrico Marchetti", (6_000, 3_000, 48), Approved),
    story(HighObligations, "Luca Santoro", (9_000, 3_000, 36), Rejected),
    story(ThinFile, "Andrea Colombo", (5_000, 3_000, 24), UnderReview),
    // Above 50,000 euros.
    story(Approve, "Mario Rossetti", (55_000, 3_400, 84), Rejected),
    story(NoScore, "Fabio Grassi", (4_000, 3_000, 24), UnderReview),
    // Below 1,200 euros a month.
    story(Approve, "Mario Rossetti", (2_000, 1_100, 24), Rejected),
];

const MEXICO: [Story; STORIES_EACH] = [
    story(Approve, "María Hernández Ríos", (80_000, 24_000, 36), Approved),
    story(LowScore, "Guadalupe Navarro Téllez", (60_000, 20_000, 36), Rejected),
    story(ThinFile, "Ximena Cárdenas Luna", (40_000, 18_000, 24), UnderReview),
    story(Suspended, "Fernanda Rosales Vega", (30_000, 20_000, 36), Approved),
    story(Defaults, "Alejandra Ibarra Solís", (50_000, 22_000, 36), UnderReview),
    // Above 30 % of the income each month.
    story(Approve, "María Hernández Ríos", (200_000, 18_000, 36), Rejected),
    story(NoObligations, "Daniela Zamora Peña", (45_000, 21_000, 36), Approved),
    // Below 5,000 pesos a month.
    story(Approve, "María Hernández Ríos", (9_000, 4_800, 36), Rejected),
    story(NoScore, "Teresa Olvera Campos", (35_000, 19_000, 36), UnderReview),
    // Above three annual incomes.
    story(Approve, "María Hernández Ríos", (900_000, 20_000, 84), Rejected),
];

const COLOMBIA: [Story; STORIES_EACH] = [
    story(Approve, "Andrés Restrepo Giraldo", (15_000_000, 4_500_000, 36), Approved),
    story(LowScore, "Paola Cifuentes Rojas", (8_000_000, 4_000_000, 36), Rejected),
    story(Unverified, "Camilo Ospina Vargas", (10_000_000, 4_200_000, 36), UnderReview),
    story(ThinFile, "Juliana Bedoya Marulanda", (5_000_000, 3_200_000, 24), UnderReview),
    // Above 50,000,000 pesos.
    story(Approve, "Andrés Restrepo Giraldo", (60_000_000, 9_000_000, 60), Rejected),
    // Below 1,500,000 pesos a month.
    story(Approve, "Andrés Restrepo Giraldo", (2_000_000, 1_400_000, 36), Rejected),
    story(Defaults, "Héctor Quiroga Salazar", (7_000_000, 4_600_000, 36), UnderReview),
    story(Suspended, "Natalia Arango Mejía", (6_000_000, 4_400_000, 36), Approved),
    story(NoObligations, "Germán Pineda Castaño", (9_000_000, 4_800_000, 36), Approved),
    // Above 40 % of the income each month.
    story(Approve, "Andrés Restrepo Giraldo", (45_000_000, 3_500_000, 36), Rejected),
];

const BRAZIL: [Story; STORIES_EACH] = [
    story(Approve, "Renata Azevedo Lima", (20_000, 6_500, 36), Approved),
    story(HighObligations, "Marcelo Teixeira Prado", (15_000, 6_000, 36), Rejected),
    story(Defaults, "Patrícia Nunes Rezende", (12_000, 7_000, 36), UnderReview),
    story(LowScore, "Gustavo Barreto Melo", (10_000, 6_000, 36), Rejected),
    story(Suspended, "Larissa Fontes Moura", (8_000, 6_200, 36), Approved),
    story(ThinFile, "Eduardo Sampaio Rocha", (9_000, 5_500, 24), UnderReview),
    // Below 2,000 reais a month.
    story(Approve, "Renata Azevedo Lima", (3_000, 1_900, 36), Rejected),
    story(NoObligations, "Camila Freitas Duarte", (11_000, 6_800, 36), UnderReview),
    // Above 100,000 reais.
    story(Approve, "Renata Azevedo Lima", (120_000, 15_000, 60), Rejected),
    // Above five annual incomes.
    story(Approve, "Renata Azevedo Lima", (200_000, 3_000, 84), Rejected),
];

/// Every failure of a bureau. All are in one country, so only one breaker opens.
const OUTAGES: [Story; 6] = [
    story(ServerError, "Bruno Cardoso Vieira", (10_000, 6_000, 36), UnderReview),
    story(Unavailable, "Aline Siqueira Bastos", (10_000, 6_000, 36), UnderReview),
    story(Malformed, "Diego Peixoto Araújo", (10_000, 6_000, 36), UnderReview),
    story(Unauthorized, "Isabela Couto Ramos", (10_000, 6_000, 36), UnderReview),
    story(RateLimited, "Thiago Macedo Paiva", (10_000, 6_000, 36), UnderReview),
    story(Timeout, "Vanessa Dantas Leal", (10_000, 6_000, 36), UnderReview),
];

const fn stories_of(country: Country) -> &'static [Story; STORIES_EACH] {
    match country {
        Es => &SPAIN,
        Pt => &PORTUGAL,
        It => &ITALY,
        Mx => &MEXICO,
        Co => &COLOMBIA,
        Br => &BRAZIL,
    }
}

/// The first `count` applications. Countries alternate, each starting at a different story, so even a short run has
/// every outcome. The sequence repeats after all stories.
pub(super) fn plan(count: usize) -> Vec<DemoCase> {
    let rounds = (0..STORIES_EACH).cycle();
    let endless = rounds.flat_map(|round| {
        Country::ALL.into_iter().enumerate().filter_map(move |(place, country)| {
            let story = stories_of(country).get((round + place) % STORIES_EACH)?;
            case(country, story)
        })
    });
    endless.take(count).collect()
}

/// Applications whose bureau fails.
pub(super) fn outages() -> Vec<DemoCase> {
    OUTAGES.iter().filter_map(|story| case(Br, story)).collect()
}

/// `None` if the country has no test document for the story; a test excludes that.
fn case(country: Country, story: &Story) -> Option<DemoCase> {
    let row = TEST_DOCUMENTS.iter().find(|row| row.country == country && row.scenario == story.scenario)?;
    Some(DemoCase {
        country,
        full_name: story.full_name,
        document: row.document,
        requested_amount: story.requested_amount,
        monthly_income: story.monthly_income,
        term_months: story.term_months,
        expected: story.expected,
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
    use crate::providers::simulator::families::outcome_of;
    use crate::providers::simulator::record::BureauRecord;
    use crate::providers::simulator::test_documents::Outcome;

    const EVERY_STORY: usize = STORIES_EACH * Country::ALL.len();

    /// The adapters' result for a record. Only CRIF, DataCrédito and Serasa report the income, and only DataCrédito
    /// reports verification.
    fn reported(country: Country, record: BureauRecord) -> BankingData {
        let tells_income = matches!(country, It | Co | Br);
        let mut data = BankingData::empty("bureau");
        data.account_status = record.account_status;
        data.credit_score = record.credit_score;
        data.total_debt = record.total_debt;
        data.monthly_obligations = record.monthly_obligations;
        data.has_defaults = record.has_defaults;
        data.average_monthly_income = record.average_monthly_income.filter(|_| tells_income);
        data.verified = record.verified.filter(|_| country == Co);
        data
    }

    fn decide(case: &DemoCase) -> Decision {
        let banking_data = match outcome_of(case.country, case.document) {
            Outcome::Report(record) => reported(case.country, record),
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
        for case in plan(EVERY_STORY) {
            let decision = decide(&case);
            assert_eq!(Status::from(decision.status), case.expected, "{case:?}: {:?}", decision.reasons);
        }
    }

    #[test]
    fn together_the_cases_break_every_rule_of_every_country() {
        let mut broken: BTreeMap<Country, BTreeSet<String>> = BTreeMap::new();
        for case in plan(EVERY_STORY) {
            broken.entry(case.country).or_default().extend(decide(&case).reasons);
        }
        let countries = Countries::built_in().unwrap();
        for country in Country::ALL {
            for rule in countries.rules(country).describe().rules {
                assert!(broken[&country].contains(rule.code), "{country}: {}", rule.code);
            }
        }
    }

    #[test]
    fn each_rejection_comes_from_a_reject_rule() {
        for case in plan(EVERY_STORY).iter().filter(|case| case.expected == Rejected) {
            let decision = decide(case);
            let by = decision.rules.iter().find(|rule| decision.reasons.first() == Some(&rule.code));
            assert_eq!(by.map(|rule| rule.kind), Some(RuleKind::Reject), "{case:?}");
        }
    }

    #[test]
    fn every_story_has_a_document_and_every_country_has_every_outcome() {
        let cases = plan(EVERY_STORY);
        let mut outcomes: BTreeMap<Country, BTreeSet<Status>> = BTreeMap::new();
        for case in &cases {
            outcomes.entry(case.country).or_default().insert(case.expected);
        }
        assert_eq!(outcomes.len(), Country::ALL.len());
        assert!(outcomes.values().all(|seen| seen.len() == 3), "{outcomes:?}");
        let different: BTreeSet<_> =
            cases.iter().map(|case| (case.document, case.requested_amount, case.monthly_income)).collect();
        assert_eq!(different.len(), EVERY_STORY);
        assert_eq!(outages().len(), OUTAGES.len());
    }

    #[test]
    fn the_first_six_cover_every_country_and_every_outcome() {
        let cases = plan(6);
        assert_eq!(cases.iter().map(|case| case.country).collect::<Vec<_>>(), Country::ALL);
        assert_eq!(cases.iter().map(|case| case.expected).collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn a_long_run_repeats_the_cases() {
        let cases = plan(EVERY_STORY + 1);
        assert_eq!(cases.first(), cases.last());
        assert!(plan(0).is_empty());
    }

    #[test]
    fn a_document_always_belongs_to_the_same_person() {
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for case in plan(EVERY_STORY).into_iter().chain(outages()) {
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
