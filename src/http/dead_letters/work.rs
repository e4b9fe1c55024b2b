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
use crate::http::problem::Answer;
use crate::http::request::request_body;
use crate::http::request::values::required_reason;
use crate::queue::dead_letters::{self, FailedJob, Operator, Step};

request_body! {
    /// Why an operator does what it does.
    pub struct LetterRequest {
        /// Why, for whoever reads the history.
        #[schema(min_length = 1, max_length = 500, example = "The defect is mended")]
        reason: String = required(required_reason),
    }
}

/// Queues the job of a dead letter again, as a new job with fresh attempts.
///
/// An application that its failure left under review is decided again in place. What a human decided meanwhile stands.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/{id}/retry",
    operation_id = "retry_failed_job",
    tag = "operations",
    params(("id" = uuid::Uuid, Path, description = "The dead letter"), Idempotency),
    request_body(content = LetterRequest, example = json!({"reason": "The defect is mended"})),
    responses(
        (status = 200, description = "The letter, reprocessed; `retried_as` is the new job", body = DeadLetterView),
        (status = 404, description = "There is none"),
        (status = 409, description = "The letter was reprocessed or ignored, the application was decided or deleted, a job for \
            it is active, or the same request is being answered at this moment"),
    ),
)]
pub(in crate::http) async fn retry(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> Answer {
    work(&state, &principal, context, &idempotency, id, &body, Step::Retry).await
}

/// Sets a dead letter aside: nothing is done about it.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/{id}/ignore",
    operation_id = "ignore_failed_job",
    tag = "operations",
    params(("id" = uuid::Uuid, Path, description = "The dead letter"), Idempotency),
    request_body(content = LetterRequest, example = json!({"reason": "A test application"})),
    responses(
        (status = 200, description = "The letter", body = DeadLetterView),
        (status = 404, description = "There is none"),
        (status = 409, description = "It was reprocessed or ignored, or the same request is being answered at this moment"),
    ),
)]
pub(in crate::http) async fn ignore(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> Answer {
    work(&state, &principal, context, &idempotency, id, &body, Step::Ignore).await
}

/// Notes that somebody has looked at a dead letter; one that was ignored is taken up again.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/{id}/review",
    operation_id = "review_failed_job",
    tag = "operations",
    params(("id" = uuid::Uuid, Path, description = "The dead letter"), Idempotency),
    request_body(content = LetterRequest, example = json!({"reason": "Waits for the next release"})),
    responses(
        (status = 200, description = "The letter", body = DeadLetterView),
        (status = 404, description = "There is none"),
        (status = 409, description = "It was reviewed or reprocessed, or the same request is being answered at this moment"),
    ),
)]
pub(in crate::http) async fn review(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> Answer {
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
) -> Answer {
    let keyed = idempotency.keyed(state, &principal.account, body.as_bytes(), &reply);
    let operator = operator(principal, context, LetterRequest::read(body.members()?)?.reason);
    let done =
        dead_letters::work(&state.resources, &*state.on_commit, id, step, &operator, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), done, reply)
}

fn reply(letter: &FailedJob) -> Result<Reply> {
    Reply::json(StatusCode::OK, &DeadLetterView::from(letter.clone()))
}

/// Who does it, and why.
pub(super) fn operator(principal: &Principal, context: RequestContext, reason: String) -> Operator {
    Operator {
        account: principal.account.clone(),
        reason,
        request_id: context.request_id.to_string(),
        traceparent: context.traceparent,
    }
}
