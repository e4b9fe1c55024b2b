//! `GET` and `PUT /api/v1/admin/log-level`

use actix_web::HttpResponse;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use slog::warn;
use utoipa::ToSchema;

use super::expiry;
use crate::accounts::ChangeOrigin;
use crate::config::LogLevel;
use crate::domain::timestamp;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{required_reason, text};
use crate::http::schemas::enum_schemas;
use crate::json::Refusal;
use crate::telemetry::log_levels::LevelChange;

/// Maximum duration of a change.
const MAX_DURATION: TimeDelta = TimeDelta::hours(24);
/// Maximum length of a module path.
const MAX_MODULE_BYTES: usize = 100;

enum_schemas! {
    /// [`LogLevel`]
    LogLevelName: LogLevel::ALL.map(LogLevel::as_str), "The least severe level that is logged";
}

/// A change of the log level that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LevelChangeView {
    /// The module, with the modules below it; `null` for all modules.
    #[schema(example = "actors::provider_gateway")]
    pub module: Option<String>,
    /// The least severe level that is logged.
    #[schema(value_type = LogLevelName, example = "debug")]
    pub level: &'static str,
    /// The reason for the change.
    #[schema(example = "Looking for lost leases")]
    pub reason: String,
    /// The operator who made the change.
    #[schema(example = "ana.garcia")]
    pub set_by: String,
    /// When the change was made.
    #[serde(serialize_with = "timestamp::serialize")]
    pub set_at: DateTime<Utc>,
    /// When the change ends.
    #[serde(serialize_with = "timestamp::serialize")]
    pub expires_at: DateTime<Utc>,
}

impl From<LevelChange> for LevelChangeView {
    fn from(change: LevelChange) -> Self {
        Self {
            module: change.module,
            level: change.level.as_str(),
            reason: change.reason,
            set_by: change.set_by,
            set_at: change.set_at,
            expires_at: change.expires_at,
        }
    }
}

/// The log levels of the responding instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogLevelList {
    /// The responding instance, to which the levels apply.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// The configured level, which applies to modules without a change.
    #[schema(value_type = LogLevelName, example = "info")]
    pub configured: &'static str,
    /// The changes in force. For a module, the change with the longest path applies.
    pub changes: Vec<LevelChangeView>,
}

impl LogLevelList {
    fn of(state: &HttpState) -> Self {
        let levels = &state.operations.log_levels;
        Self {
            instance: state.resources.instance.to_string(),
            configured: levels.configured().as_str(),
            changes: levels.changes().into_iter().map(LevelChangeView::from).collect(),
        }
    }
}

/// Returns the log levels of the responding instance.
#[utoipa::path(
    get,
    path = "/api/v1/admin/log-level",
    operation_id = "get_log_level",
    tag = "operations",
    responses((status = 200, description = "The log levels of this instance", body = LogLevelList)),
)]
pub(in crate::http) async fn get(state: HttpState) -> HandlerResult {
    Ok(HttpResponse::Ok().json(LogLevelList::of(&state)))
}

request_body! {
    /// A change of the log level.
    pub struct LogLevelRequest given(now: DateTime<Utc>) {
        /// The module as in the source code, such as `actors::scheduler`, with the modules below it. By default, the
        /// change applies to all modules.
        #[schema(max_length = 100, example = "actors::provider_gateway")]
        module: Option<String> = optional(text(module_path)),
        /// The least severe level to log. Release builds have no `trace` lines.
        #[schema(value_type = LogLevelName, example = "debug")]
        level: LogLevel = required(text(log_level)),
        /// The reason for the change.
        #[schema(max_length = 500, example = "Looking for lost leases")]
        reason: String = required(required_reason),
        /// When the change ends, at most 24 hours ahead.
        #[schema(example = "2026-11-22T18:00:00Z")]
        expires_at: DateTime<Utc> = required(|raw| expiry(raw, now, MAX_DURATION)),
    }
}

/// Changes the log level of a module on the responding instance, for a limited time.
///
/// Other instances keep their levels, so call the instance itself rather than a load balancer. The change replaces an
/// earlier one of the same module and is recorded as a security event. It does not survive a restart.
#[utoipa::path(
    put,
    path = "/api/v1/admin/log-level",
    operation_id = "set_log_level",
    tag = "operations",
    request_body(
        content = LogLevelRequest,
        example = json!({"module": "actors::provider_gateway", "level": "debug", "reason": "Looking for lost leases",
            "expires_at": "2026-11-22T18:00:00Z"}),
    ),
    responses((status = 200, description = "The log levels of this instance", body = LogLevelList)),
)]
pub(in crate::http) async fn set(state: HttpState, origin: ChangeOrigin, body: JsonObject) -> HandlerResult {
    let now = state.resources.clock.now();
    let LogLevelRequest { module, level, reason, expires_at } = LogLevelRequest::read(body.members()?, now)?;
    let detail = json!({
        "instance": &*state.resources.instance,
        "module": module,
        "level": level.as_str(),
        "reason": reason,
        "expires_at": timestamp::text(expires_at),
    });
    state.accounts.record_log_level(&origin, &detail).await?;
    warn!(state.resources.logger, "log level changed"; "module" => &module, "level" => level.as_str(),
        "by" => origin.by(), "reason" => &reason);
    let set_by = origin.by().to_owned();
    state.operations.log_levels.set(LevelChange { module, level, reason, set_by, set_at: now, expires_at });
    Ok(HttpResponse::Ok().json(LogLevelList::of(&state)))
}

fn log_level(text: &str) -> Result<LogLevel, Refusal> {
    let names = || LogLevel::ALL.map(LogLevel::as_str).join(", ");
    let refusal = || ("unknown_level", format!("must be one of {}", names()));
    LogLevel::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(refusal)
}

fn module_path(text: &str) -> Result<String, Refusal> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
    };
    if text.len() > MAX_MODULE_BYTES || !text.split("::").all(is_name) {
        return Err(("bad_module", "must be a module path, such as actors::scheduler".to_owned()));
    }
    Ok(text.to_owned())
}
