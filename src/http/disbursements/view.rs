//! Response types for disbursements.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::disbursement::history::Disbursement;
use crate::domain::disbursement::rail::{DestinationKind, Rail};
use crate::domain::disbursement::workflow::State;
use crate::domain::ids::ApplicationId;
use crate::domain::money::Money;
use crate::lending::disburse::Approval;

/// A masked destination.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationView {
    #[schema(value_type = crate::http::schemas::DestinationKindName)]
    kind: DestinationKind,
    /// The masked account number or key.
    #[schema(example = "****1332")]
    value: String,
    /// Whether its holder has another name than the applicant.
    #[schema(example = false)]
    holder_differs: bool,
}

/// A disbursement.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisbursementView {
    disbursement_id: Uuid,
    #[schema(value_type = Uuid)]
    application_id: ApplicationId,
    #[schema(value_type = crate::http::schemas::CountryCode)]
    country: Country,
    #[schema(value_type = crate::http::schemas::Amount, example = "15000.00")]
    amount: Money,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: &'static str,
    destination: DestinationView,
    #[schema(value_type = crate::http::schemas::RailName)]
    rail: Rail,
    #[schema(value_type = crate::http::schemas::DisbursementState)]
    status: State,
    /// The state in which a `STUCK` disbursement stopped; `null` for others.
    #[schema(value_type = Option<crate::http::schemas::DisbursementState>)]
    stuck_in: Option<State>,
    /// The last reason code: of the rail, such as `AC04`, of a failed step, or of a person's decision.
    #[schema(example = "AC04")]
    reason: Option<String>,
    /// The rail's reference of the payment.
    rail_reference: Option<String>,
    /// The disbursement whose payment came back, if this is its reversal.
    reverses: Option<Uuid>,
    /// The number of its events.
    #[schema(example = 4)]
    version: i64,
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    updated_at: DateTime<Utc>,
}

impl From<&Disbursement> for DisbursementView {
    fn from(from: &Disbursement) -> Self {
        let beginning = from.beginning.clone();
        Self {
            disbursement_id: from.id,
            application_id: beginning.application_id,
            country: beginning.country,
            amount: beginning.amount,
            currency: beginning.country.currency(),
            destination: DestinationView {
                kind: beginning.destination_kind,
                value: beginning.destination,
                holder_differs: beginning.holder_differs,
            },
            rail: from.rail(),
            status: from.state,
            stuck_in: from.stuck_in,
            reason: from.reason.clone(),
            rail_reference: from.rail_reference.clone(),
            reverses: beginning.reverses,
            version: from.version,
            created_at: from.created_at,
            updated_at: from.updated_at,
        }
    }
}

/// A request that a second person must approve.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalView {
    id: Uuid,
    disbursement_id: Uuid,
    #[schema(value_type = crate::http::schemas::ApprovalAction)]
    action: String,
    /// Why it was requested.
    #[schema(example = "amount_above_limit")]
    reason: String,
    /// The account that requested it.
    #[schema(example = "ana.lopez")]
    requested_by: String,
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    requested_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    expires_at: DateTime<Utc>,
    /// `null` while it is pending.
    #[schema(value_type = Option<crate::http::schemas::ApprovalDecision>)]
    decision: Option<String>,
    /// The account that decided it.
    #[schema(example = "luis.vega")]
    decided_by: Option<String>,
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    decided_at: Option<DateTime<Utc>>,
}

impl From<&Approval> for ApprovalView {
    fn from(from: &Approval) -> Self {
        let from = from.clone();
        Self {
            id: from.id,
            disbursement_id: from.disbursement_id,
            action: from.action,
            reason: from.reason,
            requested_by: from.maker,
            requested_at: from.requested_at,
            expires_at: from.expires_at,
            decision: from.decision,
            decided_by: from.checker,
            decided_at: from.decided_at,
        }
    }
}
