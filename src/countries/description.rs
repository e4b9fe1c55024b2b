//! What a country tells about itself: the answer of `GET /countries/{code}`.
//!
//! Everything in it follows from the same data that decides, so that what is told is what is done.

use serde::Serialize;
use utoipa::ToSchema;

use super::data::{DataMember, MemberDescription, data_members};
use super::document::DocumentKind;
use super::evaluation::RulePack;
use crate::domain::application::{Country, TermMonths};
use crate::domain::decision::RuleKind;

/// A country, as a client needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountryDescription {
    /// ISO 3166-1 alpha-2.
    #[schema(example = "ES")]
    pub code: &'static str,
    /// The English name.
    #[schema(example = "Spain")]
    pub name: &'static str,
    /// The document that an applicant needs.
    pub document: DocumentDescription,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: &'static str,
    /// The bureau that is asked.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: &'static str,
    /// What a request may hold.
    pub limits: Limits,
    /// The members that `country_specific_data` may have; any other is refused.
    pub country_specific_data: Vec<MemberDescription>,
    /// The rules, in the order in which they are explained.
    pub rules: Vec<RuleDescription>,
    /// The content hash of the rules and their thresholds.
    #[schema(example = "es-0123456789abcdef")]
    pub rules_version: String,
}

/// A country's identity documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentDescription {
    /// The kinds that are accepted.
    pub kinds: Vec<DocumentKind>,
    /// What they are, in words.
    pub description: &'static str,
    /// The shape without separators, as a regular expression. A text of this shape may still fail its check digit.
    #[schema(example = "^([0-9]{8}|[XYZ][0-9]{7})[A-Z]$")]
    pub format: &'static str,
    /// A valid one that belongs to nobody.
    #[schema(example = "12345678Z")]
    pub sample: &'static str,
}

/// What a request may hold, before any rule looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limits {
    /// The requested amount, in the country's currency.
    pub requested_amount: AmountLimits,
    /// The declared monthly income, in the country's currency.
    pub monthly_income: AmountLimits,
    /// The term in months.
    pub term_months: TermLimits,
    /// The nominal yearly rate of the instalment that the rules look at: `0.08` is 8 %.
    #[schema(example = "0.08")]
    pub reference_annual_rate: String,
}

/// The least and the most that an amount may be, both accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AmountLimits {
    /// The least.
    #[schema(example = "0.01")]
    pub min: &'static str,
    /// The most.
    #[schema(example = "9999999999.99")]
    pub max: &'static str,
}

/// The shortest, longest and usual term, in months.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TermLimits {
    /// The shortest.
    #[schema(example = 6)]
    pub min: u16,
    /// The longest.
    #[schema(example = 84)]
    pub max: u16,
    /// What an application gets that names none.
    #[schema(example = 36)]
    pub default: u16,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleDescription {
    /// The stable code: the reason code of a decision in which it is broken.
    #[schema(example = "DTI_TOO_HIGH")]
    pub code: &'static str,
    /// What breaking it leads to: `reject` or `review`.
    #[schema(value_type = String, example = "reject")]
    pub kind: RuleKind,
    /// The rule in words, with its threshold.
    pub description: String,
    /// The limit, as text; `null` where there is none.
    #[schema(example = "0.4")]
    pub threshold: Option<String>,
}

/// What [`Money`](crate::domain::money::Money) above zero can be.
const ANY_AMOUNT: AmountLimits = AmountLimits { min: "0.01", max: "9999999999.99" };

impl CountryDescription {
    /// Describes `country` from what it decides with.
    pub(super) fn new(
        country: Country,
        document: DocumentDescription,
        provider: &'static str,
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
            country_specific_data: data_members(country).iter().map(DataMember::describe).collect(),
            rules: rules.collect(),
            rules_version: pack.version().to_owned(),
        }
    }
}
