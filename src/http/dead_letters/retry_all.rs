//! `POST /api/v1/admin/failed-jobs/retry`

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::list;
use super::work::operator;
use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::RequestContext;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{
    application_id, identifier, period_end, period_start, required_reason, text, whole,
};
use crate::json::boolean;
use crate::queue::dead_letters::{self, DeadLetterFilter, FailedJobStatus, Retried, RetryAll};

/// Default number of dead letters per request.
const DEFAULT_LIMIT: i64 = 100;
/// Maximum number of dead letters per request. They are retried in one transaction, which locks their applications.
const MAX_LIMIT: i64 = 500;

request_body! {
    /// The dead letters to retry.
    pub struct RetryAllRequest {
        /// The reason, which is recorded in the history.
        #[schema(min_length = 1, max_length = 500, example = "The bug is fixed")]
        reason: String = required(required_reason),
        /// The status. By default, all that can be retried: `pending` and `reviewed`.
        status: Option<FailedJobStatus> = optional(text(list::status)),
        /// The name of the task.
        #[schema(example = "process_credit_application")]
        task: Option<String> = optional(text(identifier)),
        /// The error code.
        #[schema(example = "panicked")]
        error_type: Option<String> = optional(text(identifier)),
        /// The lane; for applications, the country code.
        #[schema(example = "ES")]
        lane: Option<String> = optional(text(identifier)),
        /// The identifier of the application.
        #[schema(value_type = Option<Uuid>)]
        application_id: Option<ApplicationId> = optional(text(application_id)),
        /// Failed permanently at or after this RFC 3339 time, or on or after this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = optional(text(period_start)),
        /// Failed permanently before this RFC 3339 time, or on or before this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = optional(text(period_end)),
        /// Maximum number of dead letters to retry, oldest first; the default is 100.
        #[schema(minimum = 1, maximum = 500, example = 100)]
        limit: Option<i64> = optional(whole(1..=MAX_LIMIT)),
        /// If `true`, nothing is changed; the response shows what the request would do.
        #[schema(example = true)]
        dry_run: Option<bool> = optional(boolean),
    }
}

/// The result of a bulk retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryAllView {
    /// Number of matching dead letters, up to the limit.
    #[schema(example = 12)]
    pub matched: u64,
    /// Number of jobs that were queued again; in a dry run, that would be queued again.
    #[schema(example = 10)]
    pub retried: u64,
    /// Number of skipped dead letters by reason: `not_retryable`, `application_decided`, `application_deleted`,
    /// `application_missing` or `already_queued`.
    #[schema(example = json!({"application_decided": 2}))]
    pub skipped: BTreeMap<String, u64>,
    /// Whether more dead letters match than the limit; if so, repeat the request.
    #[schema(example = false)]
    pub more: bool,
    /// Whether the request was a dry run, which changes nothing.
    #[schema(example = true)]
    pub dry_run: bool,
}

/// Retries many dead letters in one transaction.
///
/// The jobs are queued again. Dead letters that cannot be retried are skipped, counted by reason and left unchanged.
/// With `dry_run`, nothing is changed.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/retry",
    operation_id = "retry_failed_jobs",
    tag = "operations",
    params(Idempotency),
    request_body(
        content = RetryAllRequest,
        example = json!({"reason": "The bug is fixed", "error_type": "panicked", "lane": "ES", "dry_run": true}),
    ),
    responses(
        (status = 200, description = "The result", body = RetryAllView),
        (status = 409, description = "A request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn retry(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    body: JsonObject,
) -> HandlerResult {
    let (wanted, reason) = RetryAllRequest::read(body.members()?)?.into_command();
    let reply =
        |retried: &Retried| -> Result<Reply> { Reply::json(StatusCode::OK, &view(retried, wanted.dry_run)) };
    let keyed = idempotency.keyed(&state, &principal.account, body.as_bytes(), &reply);
    let operator = operator(&principal, context, reason);
    let on_commit = &*state.on_commit;
    let done =
        dead_letters::retry_all(&state.resources, on_commit, &wanted, &operator, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), done, reply)
}

fn view(retried: &Retried, dry_run: bool) -> RetryAllView {
    RetryAllView {
        matched: retried.matched,
        retried: retried.retried,
        skipped: retried.skipped.iter().map(|(why, count)| (why.as_str().to_owned(), *count)).collect(),
        more: retried.more,
        dry_run,
    }
}

impl RetryAllRequest {
    fn into_command(self) -> (RetryAll, String) {
        let filter = DeadLetterFilter {
            status: self.status,
            task: self.task,
            error_type: self.error_type,
            lane: self.lane,
            application_id: self.application_id,
            from: self.from,
            until: self.to,
        };
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        (RetryAll { filter, limit, dry_run: self.dry_run.unwrap_or(false) }, self.reason)
    }
}
