//! `GET /api/v1/disbursements/{id}` and `GET /api/v1/disbursements/{id}/status`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::{ApprovalView, DisbursementView};
use crate::domain::disbursement::workflow::State;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;
use crate::lending::Caller;

/// A disbursement and the requests for a second person that concern it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisbursementDetails {
    #[serde(flatten)]
    disbursement: DisbursementView,
    /// The requests, newest first.
    approvals: Vec<ApprovalView>,
}

/// The state of a disbursement.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisbursementStatus {
    disbursement_id: Uuid,
    #[schema(value_type = crate::http::schemas::DisbursementState)]
    status: State,
    /// Whether the workflow has ended.
    #[schema(example = false)]
    is_final: bool,
    /// The last reason code.
    #[schema(example = "AC04")]
    reason: Option<String>,
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    updated_at: DateTime<Utc>,
}

/// A disbursement.
#[utoipa::path(
    get,
    path = "/api/v1/disbursements/{id}",
    operation_id = "get_disbursement",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the disbursement")),
    responses(
        (status = 200, description = "The disbursement", body = DisbursementDetails),
        (status = 404, description = "Disbursement not found, or not visible to the caller"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, caller: Caller, IdPath(id): IdPath) -> HandlerResult {
    let found = state.lending.disbursement(&caller, id).await?;
    let approvals = state.lending.approvals_of(&caller, id).await?;
    let approvals = approvals.iter().map(ApprovalView::from).collect();
    Ok(HttpResponse::Ok()
        .json(DisbursementDetails { disbursement: DisbursementView::from(&found), approvals }))
}

/// The state of a disbursement.
#[utoipa::path(
    get,
    path = "/api/v1/disbursements/{id}/status",
    operation_id = "get_disbursement_status",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the disbursement")),
    responses(
        (status = 200, description = "Its state", body = DisbursementStatus),
        (status = 404, description = "Disbursement not found, or not visible to the caller"),
    ),
)]
pub(in crate::http) async fn status(state: HttpState, caller: Caller, IdPath(id): IdPath) -> HandlerResult {
    let found = state.lending.disbursement(&caller, id).await?;
    Ok(HttpResponse::Ok().json(DisbursementStatus {
        disbursement_id: found.id,
        status: found.state,
        is_final: found.state.is_terminal(),
        reason: found.reason,
        updated_at: found.updated_at,
    }))
}
