//! `POST /api/v1/admin/failed-jobs/{id}/retry`, `/ignore` and `/review`

use actix_web::http::StatusCode;
use uuid::Uuid;

use super::view::DeadLetterView;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::{IdPath, RequestContext};
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::required_reason;
use crate::queue::dead_letters::{self, FailedJob, Operator, Step};

request_body! {
    /// An operator action on a dead letter.
    pub struct DeadLetterRequest {
        /// The reason, which is recorded in the history.
        #[schema(min_length = 1, max_length = 500, example = "The bug is fixed")]
        reason: String = required(required_reason),
    }
}

/// Retries a dead letter: queues its job again, as a new job with new attempts.
///
/// If the failure left the application under review, the new job decides it again, and the status stays `UNDER_REVIEW`
/// until then. A decision by staff in the meantime is kept.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/{id}/retry",
    operation_id = "retry_failed_job",
    tag = "operations",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter"), Idempotency),
    request_body(content = DeadLetterRequest, example = json!({"reason": "The bug is fixed"})),
    responses(
        (status = 200, description = "The dead letter, now `reprocessed`; `retried_as` is the new job", body = DeadLetterView),
        (status = 404, description = "Dead letter not found"),
        (status = 409, description = "The dead letter has been reprocessed or ignored, the application has been decided or \
            deleted, a job for it is active, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn retry(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    work(&state, &principal, context, &idempotency, id, &body, Step::Retry).await
}

/// Ignores a dead letter: marks it as requiring no action.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/{id}/ignore",
    operation_id = "ignore_failed_job",
    tag = "operations",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter"), Idempotency),
    request_body(content = DeadLetterRequest, example = json!({"reason": "A test application"})),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetterView),
        (status = 404, description = "Dead letter not found"),
        (status = 409, description = "The dead letter has been reprocessed or ignored, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn ignore(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    work(&state, &principal, context, &idempotency, id, &body, Step::Ignore).await
}

/// Marks a dead letter as reviewed, including one that was ignored.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/{id}/review",
    operation_id = "review_failed_job",
    tag = "operations",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter"), Idempotency),
    request_body(content = DeadLetterRequest, example = json!({"reason": "Will be fixed in the next release"})),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetterView),
        (status = 404, description = "Dead letter not found"),
        (status = 409, description = "The dead letter has been reviewed or reprocessed, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn review(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    work(&state, &principal, context, &idempotency, id, &body, Step::Review).await
}

async fn work(
    state: &HttpState,
    principal: &Principal,
    context: RequestContext,
    idempotency: &Idempotency,
    id: Uuid,
    body: &JsonObject,
    step: Step,
) -> HandlerResult {
    let keyed = idempotency.keyed(state, &principal.account, body.as_bytes(), &reply);
    let operator = operator(principal, context, DeadLetterRequest::read(body.members()?)?.reason);
    let done =
        dead_letters::work(&state.resources, &*state.on_commit, id, step, &operator, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), done, reply)
}

fn reply(letter: &FailedJob) -> Result<Reply> {
    Reply::json(StatusCode::OK, &DeadLetterView::from(letter.clone()))
}

/// The operator and the reason of an action.
pub(super) fn operator(principal: &Principal, context: RequestContext, reason: String) -> Operator {
    Operator {
        account: principal.account.clone(),
        reason,
        request_id: context.request_id.to_string(),
        traceparent: Some(context.traceparent),
    }
}
