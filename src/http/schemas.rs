//! The domain's closed sets of words, as schemas of the OpenAPI document.
//!
//! The domain knows nothing of OpenAPI; each type here stands for one of its enumerations and is made of the same data,
//! so that the two cannot drift apart.

use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::account::{Role, Scope};
use crate::domain::application::Country;
use crate::domain::decision::{Outcome, RiskBand, RuleKind, RuleResult};
use crate::domain::status::Status;

fn words(words: Vec<serde_json::Value>, description: &str) -> RefOr<Schema> {
    let example = words.first().cloned();
    let schema = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    schema.enum_values(Some(words)).examples(example).into()
}

fn written<T: serde::Serialize>(values: &[T]) -> Vec<serde_json::Value> {
    values.iter().filter_map(|value| serde_json::to_value(value).ok()).collect()
}

macro_rules! word_schemas {
    ($($(#[$doc:meta])* $name:ident: $values:expr, $description:literal;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                words(written(&$values), $description)
            }
        }

        impl ToSchema for $name {}
    )+};
}

word_schemas! {
    /// [`Country`]
    CountryCode: Country::ALL, "ISO 3166-1 alpha-2";
    /// [`Role`]
    RoleName: Role::ALL, "What an account may do; each role may do what the ones before it may";
    /// [`Scope`]
    ScopeName: Scope::ALL, "What an API key was made for";
    /// [`Status`]
    ApplicationStatus: Status::ALL, "Where an application stands";
    /// [`RiskBand`]
    RiskBandName: RiskBand::ALL, "Low is below 30, medium below 50, high below 70";
    /// [`Outcome`]
    DecisionStatus: [Outcome::Approved, Outcome::Rejected, Outcome::UnderReview], "What a decision makes of an application";
    /// [`RuleKind`]
    RuleKindName: [RuleKind::Reject, RuleKind::Review], "What breaking the rule leads to";
    /// [`RuleResult`]
    RuleResultName: [RuleResult::Passed, RuleResult::Broken, RuleResult::NotEvaluated], "How the rule came out";
}

/// The text of an amount: `domain::money` reads no other.
const AMOUNT_PATTERN: &str = r"^\d{1,10}(\.\d{1,2})?$";
/// The largest amount.
const LARGEST_AMOUNT: f64 = 9_999_999_999.99;

fn amount(number: ObjectBuilder, description: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(AMOUNT_PATTERN));
    let number = number.schema_type(Type::Number).maximum(Some(LARGEST_AMOUNT));
    OneOfBuilder::new().item(text).item(number).description(Some(description)).into()
}

/// A [`Money`](crate::domain::money::Money) as clients may send it.
pub(super) struct Amount;

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        amount(ObjectBuilder::new().minimum(Some(0.0)), "A number or its text, with at most two decimals")
    }
}

impl ToSchema for Amount {}

/// The same, above zero.
pub(super) struct PositiveAmount;

impl PartialSchema for PositiveAmount {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().exclusive_minimum(Some(0.0));
        amount(number, "Above zero: a number or its text, with at most two decimals")
    }
}

impl ToSchema for PositiveAmount {}
