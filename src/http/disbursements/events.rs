//! `GET /api/v1/disbursements/{id}/events`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::disbursement::workflow::{EventKind, State};
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;
use crate::lending::Caller;
use crate::lending::disburse::StoredEvent;

/// An event of a disbursement.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisbursementEventView {
    /// Its number within the disbursement.
    #[schema(example = 2)]
    sequence: i64,
    #[schema(value_type = crate::http::schemas::DisbursementEventKind)]
    kind: EventKind,
    /// The state after the event.
    #[schema(value_type = crate::http::schemas::DisbursementState)]
    status: State,
    /// A reason code.
    #[schema(example = "AC04")]
    reason: Option<String>,
    /// The key under which the payment is sent.
    payment_key: Option<Uuid>,
    /// The rail's reference of the payment.
    rail_reference: Option<String>,
    /// An account, `rail:<name>` or `system:disbursements`.
    #[schema(example = "system:disbursements")]
    actor: String,
    /// The request that caused the event.
    request_id: Option<String>,
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    recorded_at: DateTime<Utc>,
}

/// The events of a disbursement.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisbursementEvents {
    /// The events, oldest first.
    events: Vec<DisbursementEventView>,
}

impl From<StoredEvent> for DisbursementEventView {
    fn from(stored: StoredEvent) -> Self {
        let (event, details) = (stored.event.kind, stored.event.details);
        Self {
            sequence: stored.sequence,
            kind: event,
            status: stored.state,
            reason: details.reason,
            payment_key: details.payment_key,
            rail_reference: details.rail_reference,
            actor: stored.event.actor,
            request_id: stored.request_id,
            recorded_at: stored.event.at,
        }
    }
}

/// The events of a disbursement, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/disbursements/{id}/events",
    operation_id = "list_disbursement_events",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the disbursement")),
    responses(
        (status = 200, description = "The events", body = DisbursementEvents),
        (status = 404, description = "Disbursement not found, or not visible to the caller"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, caller: Caller, IdPath(id): IdPath) -> HandlerResult {
    let events = state.lending.disbursement_events(&caller, id).await?;
    let events = events.into_iter().map(DisbursementEventView::from).collect();
    Ok(HttpResponse::Ok().json(DisbursementEvents { events }))
}
