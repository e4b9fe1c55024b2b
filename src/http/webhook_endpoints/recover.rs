//! `POST /api/v1/webhook-endpoints/{id}/recover`

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::ChangeOrigin;
use crate::deliveries::RecoverFilter;
use crate::deliveries::repeat::Recovered;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::IdPath;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{check_period, period_end, period_start, text, whole};
use crate::json::boolean;

/// Default number of deliveries per request.
const DEFAULT_LIMIT: i64 = 1000;
/// Maximum number of deliveries per request. They are queued in one transaction.
const MAX_LIMIT: i64 = 5000;

request_body! {
    /// The deliveries to recover.
    pub struct RecoverWebhooksRequest {
        /// Created at or after this RFC 3339 time, or on or after this date (UTC).
        #[schema(value_type = String, example = "2026-01-31T12:00:00Z")]
        since: DateTime<Utc> = required(text(period_start)),
        /// Created before this RFC 3339 time, or on or before this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-31T18:00:00Z")]
        until: Option<DateTime<Utc>> = optional(text(period_end))
            then(|until| check_period(since, Some(until)).map(|()| until)),
        /// Maximum number of deliveries, oldest first; the default is 1000.
        #[schema(minimum = 1, maximum = 5000, example = 1000)]
        limit: Option<i64> = optional(whole(1..=MAX_LIMIT)),
        /// If `true`, nothing is changed; the response shows what the request would do.
        #[schema(example = true)]
        dry_run: Option<bool> = optional(boolean),
    }
}

/// The result of a recovery.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecoveredView {
    /// Number of deliveries that were queued again; in a dry run, that would be queued again.
    #[schema(example = 12)]
    deliveries: usize,
    /// Whether more deliveries match than the limit; if so, repeat the request.
    #[schema(example = false)]
    more: bool,
    /// Whether the request was a dry run, which changes nothing.
    #[schema(example = true)]
    dry_run: bool,
}

/// Sends the deliveries of an endpoint again that ended without success.
///
/// These are the dead deliveries and those that were skipped while the endpoint was disabled. Each gets all its attempts
/// again.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/recover",
    operation_id = "recover_webhooks",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint"), Idempotency),
    request_body(
        content = RecoverWebhooksRequest,
        example = json!({"since": "2026-01-31T12:00:00Z", "dry_run": true}),
    ),
    responses(
        (status = 200, description = "The result", body = RecoveredView),
        (status = 404, description = "Webhook endpoint not found"),
        (status = 409, description = "The endpoint is disabled, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn recover(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    let (filter, dry_run) = RecoverWebhooksRequest::read(body.members()?)?.into_command(id);
    let reply = |recovered: &Recovered| -> Result<Reply> {
        let Recovered { deliveries, more } = *recovered;
        Reply::json(StatusCode::OK, &RecoveredView { deliveries, more, dry_run })
    };
    let keyed = idempotency.keyed(&state, &principal.account, body.as_bytes(), &reply);
    let made = state.deliveries.recover(&filter, dry_run, &origin, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

impl RecoverWebhooksRequest {
    fn into_command(self, endpoint_id: Uuid) -> (RecoverFilter, bool) {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        let filter = RecoverFilter { endpoint_id, since: self.since, until: self.until, limit };
        (filter, self.dry_run.unwrap_or(false))
    }
}
