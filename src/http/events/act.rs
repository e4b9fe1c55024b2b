//! `POST /api/v1/admin/events/dead-letters/replay` and `/skip`, for many dead letters or for one

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{event_type, operator};
use crate::accounts::ChangeOrigin;
use crate::error::{Error, Result};
use crate::events::consumers::operators::{
    self, ActOnDeadLetters, Acted, DeadLetterAction, EventDeadLetterFilter,
};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::{IdPath, RequestContext};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{
    identifier, period_end, period_start, required_reason, text, uuid, whole,
};
use crate::json::boolean;

/// Default number of dead letters per request.
const DEFAULT_LIMIT: i64 = 100;
/// Maximum number of dead letters per request.
const MAX_LIMIT: i64 = 1000;

request_body! {
    /// The dead letters to replay or skip.
    pub struct ActOnDeadLettersRequest {
        /// The reason, which is recorded as a security event.
        #[schema(min_length = 1, max_length = 500, example = "The bug is fixed")]
        reason: String = required(required_reason),
        /// The name of the consumer.
        #[schema(example = "webhooks")]
        consumer: Option<String> = optional(text(identifier)),
        /// The type of the event.
        #[schema(example = "application.status_changed.v1")]
        event_type: Option<String> = optional(text(event_type)),
        /// The subject of the event.
        subject: Option<Uuid> = optional(text(uuid)),
        /// The code of the last error.
        #[schema(example = "panicked")]
        error_type: Option<String> = optional(text(identifier)),
        /// Dead at or after this RFC 3339 time, or on or after this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = optional(text(period_start)),
        /// Dead before this RFC 3339 time, or on or before this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = optional(text(period_end)),
        /// Maximum number of dead letters, oldest first; the default is 100.
        #[schema(minimum = 1, maximum = 1000, example = 100)]
        limit: Option<i64> = optional(whole(1..=MAX_LIMIT)),
        /// If `true`, nothing is changed; the response shows how many dead letters match.
        #[schema(example = true)]
        dry_run: Option<bool> = optional(boolean),
    }
}

request_body! {
    /// The reason for an action on one dead letter.
    pub struct ActOnDeadLetterRequest {
        /// The reason, which is recorded as a security event.
        #[schema(min_length = 1, max_length = 500, example = "The bug is fixed")]
        reason: String = required(required_reason),
    }
}

/// The result of an action on dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActedView {
    /// Number of matching dead letters, up to the limit.
    #[schema(example = 12)]
    pub matched: usize,
    /// Number of dead letters that were replayed or skipped; 0 in a dry run.
    #[schema(example = 12)]
    pub changed: usize,
    /// Whether more dead letters match than the limit; if so, repeat the request.
    #[schema(example = false)]
    pub more: bool,
    /// Whether the request was a dry run, which changes nothing.
    #[schema(example = false)]
    pub dry_run: bool,
}

/// Replays many dead letters: their consumers handle the events again, with new attempts.
///
/// Events of the same subject are handled in order, and later events of the subject wait behind a replayed one.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/dead-letters/replay",
    operation_id = "replay_event_dead_letters",
    tag = "events",
    request_body(
        content = ActOnDeadLettersRequest,
        example = json!({"reason": "The bug is fixed", "consumer": "webhooks", "dry_run": true}),
    ),
    responses((status = 200, description = "The result", body = ActedView)),
)]
pub(in crate::http) async fn replay_all(
    state: HttpState,
    origin: ChangeOrigin,
    context: RequestContext,
    body: JsonObject,
) -> HandlerResult {
    act_on_many(&state, &origin, &context, &body, DeadLetterAction::Replay).await
}

/// Skips many dead letters: removes them as if their events had been handled.
///
/// Events that wait behind them are handled.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/dead-letters/skip",
    operation_id = "skip_event_dead_letters",
    tag = "events",
    request_body(
        content = ActOnDeadLettersRequest,
        example = json!({"reason": "The effects are not needed", "consumer": "webhooks", "dry_run": true}),
    ),
    responses((status = 200, description = "The result", body = ActedView)),
)]
pub(in crate::http) async fn skip_all(
    state: HttpState,
    origin: ChangeOrigin,
    context: RequestContext,
    body: JsonObject,
) -> HandlerResult {
    act_on_many(&state, &origin, &context, &body, DeadLetterAction::Skip).await
}

/// Replays a dead letter: its consumer handles the event again, with new attempts.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/dead-letters/{id}/replay",
    operation_id = "replay_event_dead_letter",
    tag = "events",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter")),
    request_body(content = ActOnDeadLetterRequest, example = json!({"reason": "The bug is fixed"})),
    responses(
        (status = 200, description = "The result", body = ActedView),
        (status = 404, description = "Dead letter not found, for example because it was already replayed"),
    ),
)]
pub(in crate::http) async fn replay(
    state: HttpState,
    origin: ChangeOrigin,
    context: RequestContext,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    act_on_one(&state, &origin, &context, id, &body, DeadLetterAction::Replay).await
}

/// Skips a dead letter: removes it as if its event had been handled.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/dead-letters/{id}/skip",
    operation_id = "skip_event_dead_letter",
    tag = "events",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter")),
    request_body(content = ActOnDeadLetterRequest, example = json!({"reason": "The effect is not needed"})),
    responses(
        (status = 200, description = "The result", body = ActedView),
        (status = 404, description = "Dead letter not found, for example because it was already replayed"),
    ),
)]
pub(in crate::http) async fn skip(
    state: HttpState,
    origin: ChangeOrigin,
    context: RequestContext,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    act_on_one(&state, &origin, &context, id, &body, DeadLetterAction::Skip).await
}

async fn act_on_many(
    state: &HttpState,
    origin: &ChangeOrigin,
    context: &RequestContext,
    body: &JsonObject,
    action: DeadLetterAction,
) -> HandlerResult {
    let sent = ActOnDeadLettersRequest::read(body.members()?)?;
    let filter = EventDeadLetterFilter {
        id: None,
        consumer: sent.consumer,
        event_type: sent.event_type,
        subject: sent.subject,
        error_type: sent.error_type,
        from: sent.from,
        until: sent.to,
    };
    let limit = sent.limit.unwrap_or(DEFAULT_LIMIT);
    let wanted = ActOnDeadLetters { action, filter, limit, dry_run: sent.dry_run.unwrap_or(false) };
    let operator = operator(origin, context, sent.reason);
    let acted = operators::act_on_dead_letters(&state.resources, &wanted, &operator).await?;
    Ok(HttpResponse::Ok().json(view(acted, wanted.dry_run)))
}

async fn act_on_one(
    state: &HttpState,
    origin: &ChangeOrigin,
    context: &RequestContext,
    id: Uuid,
    body: &JsonObject,
    action: DeadLetterAction,
) -> HandlerResult {
    let ActOnDeadLetterRequest { reason } = ActOnDeadLetterRequest::read(body.members()?)?;
    let filter = EventDeadLetterFilter { id: Some(id), ..EventDeadLetterFilter::default() };
    let wanted = ActOnDeadLetters { action, filter, limit: 1, dry_run: false };
    let operator = operator(origin, context, reason);
    let acted = operators::act_on_dead_letters(&state.resources, &wanted, &operator).await?;
    let acted: Result<Acted> =
        if acted.changed == 0 { Err(Error::NotFound("dead letter")) } else { Ok(acted) };
    Ok(HttpResponse::Ok().json(view(acted?, false)))
}

fn view(acted: Acted, dry_run: bool) -> ActedView {
    ActedView { matched: acted.matched, changed: acted.changed, more: acted.more, dry_run }
}
