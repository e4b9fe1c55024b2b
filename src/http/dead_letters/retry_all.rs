//! `POST /api/v1/admin/failed-jobs/retry`

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::list;
use super::work::operator;
use crate::domain::ids::ApplicationId;
use crate::domain::members::{Fields, Problems, Refusal, boolean, string, whole_number};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::applications::filter::{Edge, moment};
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::RequestContext;
use crate::http::idempotency::{self, Idempotency, IdempotencyParameter, Reply};
use crate::http::operations::jobs::{application_id, word};
use crate::http::operations::required_reason;
use crate::http::problem::Answer;
use crate::queue::dead_letters::{self, FailedJobStatus, LetterFilter, Retried, RetryAll};

/// Letters of one request when no other number is asked for...
const DEFAULT_LIMIT: i64 = 100;
/// ...and at most: they are one transaction, which holds the locks of their applications.
const MAX_LIMIT: i64 = 500;

/// Which dead letters are retried together.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct RetryAllRequest {
    /// Why, for whoever reads the history.
    #[schema(min_length = 1, max_length = 500, example = "The defect is mended")]
    reason: String,
    /// One status; without it those that can be retried, `pending` and `reviewed`.
    status: Option<FailedJobStatus>,
    /// One task.
    #[schema(example = "process_credit_application")]
    task: Option<String>,
    /// One error code.
    #[schema(example = "panicked")]
    error_type: Option<String>,
    /// One lane: for applications, the country's code.
    #[schema(example = "ES")]
    lane: Option<String>,
    /// One application.
    application_id: Option<Uuid>,
    /// Given up at or after this RFC 3339 time, or on or after this date (UTC).
    #[schema(example = "2026-01-01")]
    from: Option<String>,
    /// Given up before this RFC 3339 time, or on or before this date (UTC).
    #[schema(example = "2026-01-31")]
    to: Option<String>,
    /// Most letters, the oldest first; 100 when absent.
    #[schema(minimum = 1, maximum = 500, example = 100)]
    limit: Option<i64>,
    /// `true`: nothing is changed, and the answer says what would be.
    #[schema(example = true)]
    dry_run: Option<bool>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryAllView {
    /// Letters that were found, at most the limit.
    #[schema(example = 12)]
    pub matched: u64,
    /// Jobs that were queued again, or would be.
    #[schema(example = 10)]
    pub retried: u64,
    /// How many were not, by reason: `not_retryable`, `application_decided`, `application_deleted`, `application_missing` or
    /// `already_queued`.
    #[schema(example = json!({"application_decided": 2}))]
    pub skipped: BTreeMap<String, u64>,
    /// There are more than the limit: ask again.
    #[schema(example = false)]
    pub more: bool,
    /// Nothing was changed.
    #[schema(example = true)]
    pub dry_run: bool,
}

/// Queues the jobs of many dead letters again, or says what that would do.
///
/// All of it is one transaction. What cannot be retried is skipped, counted by reason, and stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/admin/failed-jobs/retry",
    operation_id = "retry_failed_jobs",
    tag = "operations",
    params(IdempotencyParameter),
    request_body(
        content = RetryAllRequest,
        example = json!({"reason": "The defect is mended", "error_type": "panicked", "lane": "ES", "dry_run": true}),
    ),
    responses(
        (status = 200, description = "What came of it", body = RetryAllView),
        (status = 409, description = "The same request is being answered at this moment"),
    ),
)]
pub(in crate::http) async fn retry(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    body: JsonObject,
) -> Answer {
    let (wanted, reason) = read(&body)?;
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

fn read(body: &JsonObject) -> Result<(RetryAll, String)> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let reason = fields.required("reason", required_reason);
    let filter = LetterFilter {
        status: fields.optional("status", |raw| list::status(&string(raw)?)),
        task: fields.optional("task", text_of(word)),
        error_type: fields.optional("error_type", text_of(word)),
        lane: fields.optional("lane", text_of(word)),
        application_id: fields.optional("application_id", text_of::<ApplicationId>(application_id)),
        from: fields.optional("from", |raw| when(raw, Edge::Start)),
        until: fields.optional("to", |raw| when(raw, Edge::End)),
    };
    let limit = fields.optional("limit", limit).unwrap_or(DEFAULT_LIMIT);
    let dry_run = fields.optional("dry_run", boolean).unwrap_or(false);
    fields.refuse_the_rest();
    match (reason, problems.0.is_empty()) {
        (Some(reason), true) => Ok((RetryAll { filter, limit, dry_run }, reason)),
        _ => Err(Error::Validation(problems.0)),
    }
}

/// Reads a string as a query parameter would be.
fn text_of<T>(read: fn(&str) -> Result<T, Refusal>) -> impl Fn(&RawValue) -> Result<T, Refusal> {
    move |raw| read(&string(raw)?)
}

fn when(raw: &RawValue, edge: Edge) -> Result<DateTime<Utc>, Refusal> {
    moment(&string(raw)?, edge)
}

fn limit(raw: &RawValue) -> Result<i64, Refusal> {
    let number = whole_number(raw)?.filter(|number| (1..=MAX_LIMIT).contains(number));
    number.ok_or_else(|| ("out_of_range", format!("must be a whole number from 1 to {MAX_LIMIT}")))
}
