//! `GET /api/v1/admin/security-events`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::{EventFilter, RecordedEvent};
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, check_period, period_end, period_start};
use crate::json::Refusal;
use crate::storage::seal::KeyRing;

const DEFAULT_PAGE_SIZE: i64 = 50;
/// Maximum length of a filter value; no name is longer.
const MAX_FILTER_BYTES: usize = 128;

request_query! {
    /// Filters and page of the list.
    pub struct SecurityEventParameters {
        /// The kind of event.
        #[param(example = "login_failed")]
        kind: Option<String> = name,
        /// The account, component or database role that caused the event.
        #[param(example = "admin")]
        actor: Option<String> = name,
        /// The affected account or API key.
        #[param(example = "key:core-banking")]
        subject: Option<String> = name,
        /// Occurred at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Occurred before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// Events per page; the default is 50.
        #[param(minimum = 1, maximum = 100, example = 50)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A change to an account or API key, or a successful or failed sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecurityEventEntry {
    /// The identifier.
    pub id: Uuid,
    /// The kind of event: `account_created`, `account_role_changed`, `account_disabled`, `account_enabled`,
    /// `account_deleted`, `password_changed` (a reset if the actor is not the subject), `api_key_created`,
    /// `api_key_changed`, `api_key_first_used`, `api_key_revoked`, `api_key_deleted`, `login_succeeded`,
    /// `login_failed`, `logged_out`, `sessions_ended`, `refresh_token_reused`, `access_token_issued`,
    /// `contact_changed`, `log_level_changed`, `dead_letters_replayed`, `dead_letters_skipped`, `consumer_replayed`,
    /// `webhook_endpoint_created`, `webhook_endpoint_changed`, `webhook_endpoint_disabled`,
    /// `webhook_endpoint_enabled`, `webhook_endpoint_deleted`, `webhook_endpoint_secret_rotated`, `webhooks_repeated` or
    /// `webhook_tested`. New versions may add kinds.
    #[schema(example = "account_role_changed")]
    pub kind: String,
    /// The actor: an account, `key:<name>`, `system:<component>`, or `database:<role>` for a change made with plain
    /// SQL; `null` for an unauthenticated client.
    #[schema(example = "admin")]
    pub actor: Option<String>,
    /// The affected account or `key:<name>`; `null` for a sign-in with an unknown name.
    #[schema(example = "ana.lopez")]
    pub subject: Option<String>,
    /// Details, depending on the kind. If sign-ins from one address with one name fail repeatedly, only the first,
    /// second, fourth, eighth and so on are recorded. `attempts` is the number of failures of this address and name so
    /// far; `unrecorded` is the number of failed sign-ins of all clients that were not recorded since the previous
    /// event.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// The client's IP address; `null` if the event was not caused by a client.
    #[schema(example = "203.0.113.9")]
    pub address: Option<String>,
    /// The request that caused the event.
    pub request_id: Option<String>,
    /// Time of the event.
    pub occurred_at: DateTime<Utc>,
}

impl SecurityEventEntry {
    fn of(event: RecordedEvent, keys: &KeyRing) -> Self {
        Self {
            address: event.open_address(keys),
            id: event.id,
            kind: event.kind,
            actor: event.actor,
            subject: event.subject,
            detail: event.detail,
            request_id: event.request_id,
            occurred_at: event.occurred_at,
        }
    }
}

/// A page of security events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecurityEventPage {
    /// Maximum number of events per page.
    #[schema(example = 50)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The events.
    pub events: Vec<SecurityEventEntry>,
}

/// Lists changes to accounts and API keys and successful and failed sign-ins, newest first.
///
/// A change and its event are committed in the same transaction, so every change is recorded.
#[utoipa::path(
    get,
    path = "/api/v1/admin/security-events",
    operation_id = "list_security_events",
    tag = "operations",
    params(SecurityEventParameters),
    responses(
        (status = 200, description = "A page of the list", body = SecurityEventPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = state.accounts.security_events(&filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |event| event.id);
    let events = listed.into_iter().map(|event| SecurityEventEntry::of(event, keys)).collect();
    Ok(HttpResponse::Ok().json(SecurityEventPage { page_size: page.size, next_cursor, events }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(EventFilter, Page)> {
    let sent = SecurityEventParameters::take(&mut query);
    query.check("to", check_period(sent.from, sent.to));
    let filter = EventFilter {
        kind: sent.kind,
        actor: sent.actor,
        subject: sent.subject,
        from: sent.from,
        to: sent.to,
    };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("security events {filter:?}"), size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

/// Accepts any text that the database can store; a string that is not a name simply matches nothing.
fn name(text: &str) -> Result<String, Refusal> {
    let safe = text.len() <= MAX_FILTER_BYTES && !text.chars().any(char::is_control);
    safe.then(|| text.to_owned()).ok_or_else(|| ("bad_name", "is not a valid name".to_owned()))
}
