//! Enumerations as schemas of the OpenAPI document.
//!
//! `domain` does not depend on OpenAPI. Each type here is the schema of one of its enumerations and takes its values
//! from it. Modules of `http` with enumerations of their own declare them with [`enum_schemas!`].

use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::catalogue::{CATALOGUE, FIELD_CODES};
use super::reviews::assignment_of::AssignmentOf;
use crate::accounts::{Language, Theme, ViewPage};
use crate::countries;
use crate::domain::account::{Role, Scope};
use crate::domain::application::Country;
use crate::domain::banking::AccountStatus;
use crate::domain::confirmation::ReportedOutcome;
use crate::domain::decision::{Outcome, RiskBand, RiskPart, RuleKind, RuleResult};
use crate::domain::delivery::{Algorithm, AttemptResult, DeliveryStatus, DisabledReason};
use crate::domain::disbursement::rail::{DestinationKind, PaymentStatus, Rail};
use crate::domain::disbursement::workflow;
use crate::domain::status::Status;
use crate::lending::audit_views::ViewAction;
use crate::lending::disburse::intervene::Action;
use crate::resilience::circuit_breaker::CircuitMode;
use crate::resilience::circuit_breaker::State;

pub(super) fn string_enum(values: Vec<serde_json::Value>, description: &str) -> RefOr<Schema> {
    let example = values.first().cloned();
    let schema = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    schema.enum_values(Some(values)).examples(example).into()
}

pub(super) fn json_values<T: serde::Serialize>(values: &[T]) -> Vec<serde_json::Value> {
    values.iter().filter_map(|value| serde_json::to_value(value).ok()).collect()
}

/// Declares types that are the schemas of enumerations, with their values and descriptions.
macro_rules! enum_schemas {
    ($($(#[$doc:meta])* $name:ident: $values:expr, $description:literal;)+) => {$(
        $(#[$doc])*
        pub(in crate::http) struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::http::schemas::string_enum($crate::http::schemas::json_values(&$values), $description)
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

pub(super) use enum_schemas;

enum_schemas! {
    /// [`workflow::State`]
    DisbursementState: workflow::State::ALL, "The state of a disbursement";
    /// [`workflow::EventKind`]
    DisbursementEventKind: workflow::EventKind::ALL, "The kind of an event of a disbursement";
    /// [`Action`]
    ApprovalAction: Action::ALL, "An action that needs a second person";
    /// The decision of the second person.
    ApprovalDecision: ["approved", "declined", "expired"], "How a request for approval ended";
    /// What became of a payment.
    PaymentResolution: ["paid", "unpaid"], "Whether a payment was made";
    /// [`DestinationKind`]
    DestinationKindName: DestinationKind::ALL, "The kind of a destination";
    /// [`Rail`]
    RailName: Rail::ALL, "A payment rail";
    /// [`PaymentStatus`]
    PaymentStatusName: PaymentStatus::REPORTED, "What a rail reports about a payment";
    /// [`Country`]
    CountryCode: Country::ALL, "ISO 3166-1 alpha-2";
    /// [`Role`]
    RoleName: Role::ALL, "The role of an account; each role includes the permissions of the preceding ones";
    /// [`Scope`]
    ScopeName: Scope::ALL, "A permission of an API key";
    /// [`Language`]
    LanguageName: Language::ALL, "A language of the console, as an ISO 639-1 code";
    /// [`Theme`]
    ThemeName: Theme::ALL, "The colours of the console; `auto`: as the browser prefers";
    /// [`ViewPage`]
    ViewPageName: ViewPage::ALL, "A page of the console with a list that has filters";
    /// [`Status`]
    ApplicationStatus: Status::ALL, "The status of an application";
    /// [`RiskBand`]
    RiskBandName: RiskBand::ALL, "Risk band by score: low is below 30, medium below 50, high below 70, critical 70 and above";
    /// [`RiskPart`]
    RiskPartName: RiskPart::ALL, "The source of a part of the risk score";
    /// [`Outcome`]
    DecisionStatus: [Outcome::Approved, Outcome::Rejected, Outcome::UnderReview], "The outcome of a decision";
    /// [`RuleKind`]
    RuleKindName: [RuleKind::Reject, RuleKind::Review], "The consequence of violating the rule";
    /// [`RuleResult`]
    RuleResultName: [RuleResult::Passed, RuleResult::Broken, RuleResult::NotEvaluated], "The result of evaluating the rule";
    /// [`Country::currency`]
    CurrencyCode: currencies(), "ISO 4217";
    /// [`AccountStatus`]
    AccountStatusName: AccountStatus::ALL, "The status of the bank account; `unknown` if the bureau reported any other status";
    /// [`ReportedOutcome`]
    ReportedOutcomeName: ReportedOutcome::ALL.map(ReportedOutcome::as_str), "`confirmed`: decide by the rules; `rejected`: reject; `needs_review`: manual review";
    /// [`countries::reason_codes`]
    DecisionReason: countries::reason_codes(), "A reason for a decision";
    /// [`countries::rule_codes`]
    RuleCode: countries::rule_codes(), "The code of a country's rule";
    /// [`CircuitMode`]
    CircuitModeName: CircuitMode::ALL.map(CircuitMode::as_str), "Whether a circuit breaker is automatic or overridden by an operator";
    /// [`CircuitMode`] without `auto`
    ForcedCircuitMode: [CircuitMode::ForcedOpen, CircuitMode::ForcedClosed].map(CircuitMode::as_str), "The override of a circuit breaker by an operator";
    /// [`State`]
    CircuitState: [State::Closed, State::Open, State::HalfOpen].map(State::as_str), "The state of a circuit breaker";
    /// `http::operations::circuit_history`
    CircuitChangeKind: ["opened", "half_opened", "closed", "forced_open", "forced_closed", "automatic"], "A change of a circuit breaker or of its override";
    /// `http::operations::lanes`
    LaneIntake: ["everything", "one_probe", "nothing"], "Which jobs of a lane the instance would claim";
    /// The actions of `storage::failed_jobs`
    DeadLetterActionName: ["retry", "ignore", "review"], "The action of an operator on a dead letter";
    /// [`Algorithm`]
    WebhookAlgorithm: Algorithm::ALL, "The version of the signatures: `v1` (HMAC-SHA256) or `v1a` (ed25519)";
    /// [`AttemptResult`]
    WebhookAttemptResult: AttemptResult::ALL, "The result of an attempt at a delivery";
    /// [`DeliveryStatus`]
    WebhookDeliveryStatus: DeliveryStatus::ALL, "The status of a delivery; `waiting`: an ordered endpoint has an earlier unfinished delivery about the subject; `dead`: all attempts failed; `skipped`: the endpoint was disabled";
    /// [`DisabledReason`]
    WebhookDisabledReason: DisabledReason::ALL, "Why a webhook endpoint is disabled; `gone`: it answered with 410; `failing`: every attempt failed for days";
    /// [`ViewAction`]
    StaffViewAction: ViewAction::ALL.map(ViewAction::as_str), "The kind of data that was viewed";
    /// The only status that a probe returns with 200
    ProbeStatus: ["ok"], "Any other state is a problem";
    /// The kinds of `countries::data`
    DataMemberKind: ["text", "choice", "integer", "amount", "flag", "date", "email", "code"], "The type of a member of `country_specific_data`";
    /// The values of `http::reviews::list`
    AssignmentName: AssignmentOf::ALL, "Which assignments the list contains";
    /// RFC 6750
    TokenType: ["Bearer"], "The authentication scheme of the `Authorization` header";
    /// [`SortOrder`](crate::lending::list::SortOrder)
    SortName: ["-created_at", "created_at"], "`-created_at`: newest first; `created_at`: oldest first";
    /// The codes of [`CATALOGUE`]
    ProblemCode: CATALOGUE.iter().map(|kind| kind.code).collect::<Vec<_>>(), "The stable code of a problem; see the error reference";
    /// [`FIELD_CODES`]
    FieldCode: FIELD_CODES.iter().map(|(code, _)| *code).collect::<Vec<_>>(), "Why a value is invalid; see the error reference";
}

/// The distinct currencies of all countries.
fn currencies() -> Vec<&'static str> {
    let mut currencies = Country::ALL.map(Country::currency).to_vec();
    currencies.sort_unstable();
    currencies.dedup();
    currencies
}

/// The text form of an amount, as accepted by `domain::money`.
const AMOUNT_PATTERN: &str = r"^\d{1,10}(\.\d{1,2})?$";
/// The largest amount.
const LARGEST_AMOUNT: f64 = 9_999_999_999.99;

fn amount(number: ObjectBuilder, description: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(AMOUNT_PATTERN));
    let number = number.schema_type(Type::Number).maximum(Some(LARGEST_AMOUNT));
    OneOfBuilder::new().item(text).item(number).description(Some(description)).into()
}

/// A [`Money`](crate::domain::money::Money) value in a request.
pub(super) struct Amount;

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        amount(
            ObjectBuilder::new().minimum(Some(0.0)),
            "A number, or a decimal string, with at most two decimal places",
        )
    }
}

impl ToSchema for Amount {}

/// An [`Amount`] greater than zero.
pub(super) struct PositiveAmount;

impl PartialSchema for PositiveAmount {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().exclusive_minimum(Some(0.0));
        amount(number, "A number greater than zero, or a decimal string, with at most two decimal places")
    }
}

impl ToSchema for PositiveAmount {}
