//! The data of a simulated bureau.

use super::scenario::Scenario;
use super::wire::WireFormat;
use crate::domain::status::Status;

/// The number of demo applications of each country.
pub(crate) const DEMO_APPLICATIONS: usize = 10;

/// One country's simulated bureau.
pub(crate) struct SimulatedBureau {
    pub(crate) format: &'static dyn WireFormat,
    /// A typical monthly income of an applicant, in whole units of the currency.
    pub(crate) typical_monthly_income: u64,
    pub(crate) clean: CleanFigures,
    /// The status that the country's rules give to an otherwise acceptable applicant with active defaults.
    pub(crate) with_loan_defaults: Status,
    /// The status that the country's rules give to an otherwise acceptable applicant if the bureau does not report the
    /// obligations.
    pub(crate) with_unknown_obligations: Status,
    /// The template for the numbers of test documents. Each scenario has a family of documents, which differ in their
    /// serial number. `n` stands for a digit of the serial number, `c` for such a digit encoded as a consonant, `s` for a
    /// digit of [`Scenario::number`], and `?` for a check character.
    pub(crate) family: &'static str,
    /// The test document of each scenario that the country's rules distinguish.
    pub(crate) documents: &'static [(Scenario, &'static str)],
    /// The applications of `aval demo`. Together they have every outcome and violate every rule of the country.
    pub(crate) demo_applications: [DemoApplication; DEMO_APPLICATIONS],
}

/// The figures of a clean record, which has a good score and low obligations. Amounts are in whole units of the
/// currency.
#[derive(Clone, Copy)]
pub(crate) struct CleanFigures {
    pub(crate) score: i64,
    pub(crate) monthly_obligations: u64,
    pub(crate) total_debt: u64,
}

/// An application with an invented name. Amounts are in whole units of the currency.
pub(crate) struct DemoApplication {
    /// The scenario, which selects the test document and the bureau's response.
    pub(crate) scenario: Scenario,
    pub(crate) full_name: &'static str,
    pub(crate) requested_amount: u64,
    pub(crate) monthly_income: u64,
    pub(crate) term_months: u16,
    pub(crate) expected: Status,
}

/// Creates a demo application. The tuple has the amount, the monthly income and the term in months.
pub(crate) const fn demo_application(
    scenario: Scenario,
    full_name: &'static str,
    (requested_amount, monthly_income, term_months): (u64, u64, u16),
    expected: Status,
) -> DemoApplication {
    DemoApplication { scenario, full_name, requested_amount, monthly_income, term_months, expected }
}
