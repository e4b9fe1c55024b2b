//! `POST /api/v1/admin/failed-jobs/{id}/retry`, `/ignore` and `/review`

use actix_web::http::StatusCode;
use diesel_async::AsyncPgConnection;
use slog::warn;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::DeadLetterView;
use crate::actors::write_batcher::Written;
use crate::domain::members::{Fields, Problems};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::{IdPath, RequestContext};
use crate::http::idempotency::{self, Idempotency, IdempotencyParameter, Once, Reply};
use crate::http::operations::required_reason;
use crate::http::problem::Answer;
use crate::storage::failed_jobs::{self, FailedJob, Operator};
use crate::storage::transaction::Abort;
use crate::storage::types::FailedJobStatus;

/// Why an operator does what it does.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct LetterRequest {
    /// Why, for whoever reads the history.
    #[schema(min_length = 1, max_length = 500, example = "The defect is mended")]
    reason: String,
}

/// What an operator may do to one letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Retry,
    Ignore,
    Review,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry_failed_job",
            Self::Ignore => "ignore_failed_job",
            Self::Review => "review_failed_job",
        }
    }

    async fn take(
        self,
        connection: &mut AsyncPgConnection,
        id: Uuid,
        operator: &Operator,
    ) -> Result<FailedJob, Abort> {
        match self {
            Self::Retry => failed_jobs::retry(connection, id, operator).await,
            Self::Ignore => failed_jobs::mark(connection, id, FailedJobStatus::Ignored, operator).await,
            Self::Review => failed_jobs::mark(connection, id, FailedJobStatus::Reviewed, operator).await,
        }
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
    params(("id" = uuid::Uuid, Path, description = "The dead letter"), IdempotencyParameter),
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
    params(("id" = uuid::Uuid, Path, description = "The dead letter"), IdempotencyParameter),
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
    params(("id" = uuid::Uuid, Path, description = "The dead letter"), IdempotencyParameter),
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
    let write =
        idempotency.write(state.keys(), &principal.account, body.as_bytes(), state.resources.clock.now());
    let operator = operator(principal, context, read(body)?);
    let done = idempotency::once(state, step.name(), write.as_ref(), async |connection| {
        let letter = step.take(connection, id, &operator).await?;
        Ok(Reply::json(StatusCode::OK, &DeadLetterView::from(letter))?)
    });
    let done = done.await?;
    if let Once::Made(_) = done {
        warn!(state.resources.logger, "an operator worked on a dead letter"; "step" => step.name(),
            "failed_job_id" => %id, "account" => &operator.account, "request_id" => &operator.request_id);
        (state.on_commit)(Written { jobs: step == Step::Retry, events: false });
    }
    done.response()
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

fn read(body: &JsonObject) -> Result<String> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let reason = fields.required("reason", required_reason);
    fields.refuse_the_rest();
    reason.filter(|_| problems.0.is_empty()).ok_or(Error::Validation(problems.0))
}
