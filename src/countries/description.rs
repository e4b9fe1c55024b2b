//! The description of a country: the response of `GET /countries/{code}`.
//!
//! It is derived from the data that decisions use, so it is always consistent with them.

use serde::Serialize;
use utoipa::ToSchema;

use super::data::{DataMember, MemberDescription};
use super::document::DocumentKind;
use super::evaluation::RulePack;
use crate::domain::application::{Country, TermMonths};
use crate::domain::decision::RuleKind;

/// A country, its document and its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountryDescription {
    /// ISO 3166-1 alpha-2.
    #[schema(example = "ES")]
    pub code: &'static str,
    /// The English name.
    #[schema(example = "Spain")]
    pub name: &'static str,
    /// The identity document of applicants.
    pub document: DocumentDescription,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: &'static str,
    /// The credit bureau.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: &'static str,
    /// The limits on values in a request.
    pub limits: Limits,
    /// The members allowed in `country_specific_data`.
    pub country_specific_data: Vec<MemberDescription>,
    /// The rules, in the order in which decisions list them.
    pub rules: Vec<RuleDescription>,
    /// The content hash of the rules and thresholds.
    #[schema(example = "es-0123456789abcdef")]
    pub rules_version: String,
}

/// A country's identity documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentDescription {
    /// The accepted kinds of documents.
    #[schema(value_type = Vec<DocumentKind>)]
    pub kinds: &'static [DocumentKind],
    /// The accepted kinds in words.
    pub description: &'static str,
    /// The format without separators, as a regular expression. A text that matches may still have a wrong check digit.
    #[schema(example = "^([0-9]{8}|[XYZ][0-9]{7})[A-Z]$")]
    pub format: &'static str,
    /// A valid document that does not belong to anyone.
    #[schema(example = "12345678Z")]
    pub sample: &'static str,
}

/// The limits on values in a request. They apply before the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limits {
    /// The requested amount, in the country's currency.
    pub requested_amount: AmountLimits,
    /// The declared monthly income, in the country's currency.
    pub monthly_income: AmountLimits,
    /// The term in months.
    pub term_months: TermLimits,
    /// The nominal annual rate of the instalment that the rules use: `0.08` is 8 %.
    #[schema(example = "0.08")]
    pub reference_annual_rate: String,
}

/// The smallest and the largest allowed amount, inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AmountLimits {
    /// The smallest amount.
    #[schema(example = "0.01")]
    pub min: &'static str,
    /// The largest amount.
    #[schema(example = "9999999999.99")]
    pub max: &'static str,
}

/// The shortest, longest and default term, in months.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TermLimits {
    /// The shortest term.
    #[schema(example = 6)]
    pub min: u16,
    /// The longest term.
    #[schema(example = 84)]
    pub max: u16,
    /// The default term.
    #[schema(example = 36)]
    pub default: u16,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleDescription {
    /// The stable code. If the rule is violated, it is also the reason code.
    #[schema(example = "DTI_TOO_HIGH")]
    pub code: &'static str,
    /// The consequence of violating the rule: `reject` or `review`.
    #[schema(value_type = String, example = "reject")]
    pub kind: RuleKind,
    /// The rule in words, with its threshold.
    pub description: String,
    /// The limit as text; `null` if there is none.
    #[schema(example = "0.4")]
    pub threshold: Option<String>,
}

/// The limits of a [`Money`](crate::domain::money::Money) above zero.
const ANY_AMOUNT: AmountLimits = AmountLimits { min: "0.01", max: "9999999999.99" };

impl CountryDescription {
    /// The description of a country.
    pub(super) fn new(
        country: Country,
        document: DocumentDescription,
        provider: &'static str,
        data_members: impl Iterator<Item = &'static DataMember>,
        pack: &RulePack,
    ) -> Self {
        let limits = Limits {
            requested_amount: ANY_AMOUNT,
            monthly_income: ANY_AMOUNT,
            term_months: TermLimits {
                min: TermMonths::MIN,
                max: TermMonths::MAX,
                default: TermMonths::DEFAULT.get(),
            },
            reference_annual_rate: pack.reference_annual_rate().to_string(),
        };
        let rules = pack.rules().iter().map(|rule| RuleDescription {
            code: rule.code,
            kind: rule.kind,
            description: rule.test.description(),
            threshold: rule.test.threshold(),
        });
        Self {
            code: country.code(),
            name: country.name(),
            document,
            currency: country.currency(),
            provider,
            limits,
            country_specific_data: data_members.map(DataMember::describe).collect(),
            rules: rules.collect(),
            rules_version: pack.version().to_owned(),
        }
    }
}
