//! `POST /api/v1/admin/disbursements/{id}/resume`, `…/cancel` and `…/resolve`: requests that a second person must approve.

use actix_web::http::StatusCode;
use uuid::Uuid;

use super::view::ApprovalView;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::IdPath;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{required_reason, text};
use crate::json::Refusal;
use crate::lending::Caller;
use crate::lending::disburse::Approval;
use crate::lending::disburse::intervene::Action;

request_body! {
    /// The reason of a request.
    pub struct ActionRequest {
        /// Why, for the second person and the record.
        #[schema(min_length = 1, max_length = 500, example = "the rail was repaired")]
        reason: String = required(required_reason),
    }
}

request_body! {
    /// What became of the payment of a disbursement that is stuck.
    pub struct ResolveRequest {
        /// As the rail's statements show.
        #[schema(value_type = crate::http::schemas::PaymentResolution)]
        outcome: Action = required(text(outcome)),
        /// Why, for the second person and the record.
        #[schema(min_length = 1, max_length = 500, example = "on the statement of 31 January")]
        reason: String = required(required_reason),
    }
}

/// Requests to run the step again in which a disbursement is stuck.
#[utoipa::path(
    post,
    path = "/api/v1/admin/disbursements/{id}/resume",
    operation_id = "resume_disbursement",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the disbursement"), Idempotency),
    request_body(content = ActionRequest, example = json!({"reason": "the rail was repaired"})),
    responses(
        (status = 202, description = "A second person must approve the request", body = ApprovalView),
        (status = 404, description = "Disbursement not found"),
        (status = 409, description = "The state does not permit it, or a request is pending"),
    ),
)]
pub(in crate::http) async fn resume(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    let ActionRequest { reason } = ActionRequest::read(body.members()?)?;
    act(&state, &caller, &idempotency, id, (Action::Resume, &reason), &body).await
}

/// Requests to revert a disbursement whose payment has not been started.
#[utoipa::path(
    post,
    path = "/api/v1/admin/disbursements/{id}/cancel",
    operation_id = "cancel_disbursement",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the disbursement"), Idempotency),
    request_body(content = ActionRequest, example = json!({"reason": "the applicant withdrew"})),
    responses(
        (status = 202, description = "A second person must approve the request", body = ApprovalView),
        (status = 404, description = "Disbursement not found"),
        (status = 409, description = "The state does not permit it, or a request is pending"),
    ),
)]
pub(in crate::http) async fn cancel(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    let ActionRequest { reason } = ActionRequest::read(body.members()?)?;
    act(&state, &caller, &idempotency, id, (Action::Cancel, &reason), &body).await
}

/// Requests to declare whether the payment of a stuck disbursement was made.
#[utoipa::path(
    post,
    path = "/api/v1/admin/disbursements/{id}/resolve",
    operation_id = "resolve_disbursement",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the disbursement"), Idempotency),
    request_body(content = ResolveRequest, example = json!({"outcome": "paid", "reason": "on the statement of 31 January"})),
    responses(
        (status = 202, description = "A second person must approve the request", body = ApprovalView),
        (status = 404, description = "Disbursement not found"),
        (status = 409, description = "The state does not permit it, or a request is pending"),
    ),
)]
pub(in crate::http) async fn resolve(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    let ResolveRequest { outcome, reason } = ResolveRequest::read(body.members()?)?;
    act(&state, &caller, &idempotency, id, (outcome, &reason), &body).await
}

async fn act(
    state: &HttpState,
    caller: &Caller,
    idempotency: &Idempotency,
    id: Uuid,
    (action, reason): (Action, &str),
    body: &JsonObject,
) -> HandlerResult {
    let keyed = idempotency.keyed(state, &caller.account, body.as_bytes(), &reply);
    let made = state.lending.request_action(caller, id, action, reason, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(requested: &Approval) -> Result<Reply> {
    Reply::json(StatusCode::ACCEPTED, &ApprovalView::from(requested))
}

fn outcome(text: &str) -> Result<Action, Refusal> {
    match text {
        "paid" => Ok(Action::ResolvePaid),
        "unpaid" => Ok(Action::ResolveUnpaid),
        _ => Err(("unknown_value", "must be paid or unpaid".to_owned())),
    }
}
