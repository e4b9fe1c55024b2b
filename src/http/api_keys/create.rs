//! `POST /api/v1/api-keys`

use std::num::NonZeroU32;

use actix_web::http::{StatusCode, header};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::view::ApiKeyView;
use crate::accounts::{ChangeOrigin, CreatedKey, NewKey};
use crate::domain::account::{AccountName, KeyLimits, Role, Scope};
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::values::text;
use crate::http::request::{Refusals, request_body};
use crate::http::users;
use crate::json::{Refusal, bad_type, object, string, whole_number};

request_body! {
    /// A new API key.
    pub struct CreateApiKeyRequest given(now: DateTime<Utc>) {
        /// The name, which cannot be changed. The key authenticates as the account `key:<name>`.
        #[schema(value_type = String, min_length = 3, max_length = 60, pattern = "^[a-z0-9._-]+$", example = "core-banking")]
        name: AccountName = required(name),
        /// The role whose permissions the key cannot exceed.
        #[schema(value_type = crate::http::schemas::RoleName)]
        role: Role = required(text(users::role)),
        /// The scopes granted to the key; at least one.
        #[schema(value_type = Vec<crate::http::schemas::ScopeName>, min_items = 1)]
        scopes: Vec<Scope> = required(|raw| scopes(raw, role)),
        /// Expiry time. By default, the key does not expire. A key created with another key expires no later than that
        /// key.
        expires_at: Option<DateTime<Utc>> = optional(|raw| future_time(raw, now)),
        /// The key's rate limits. Limits that are not given have the default from `[limits]`.
        limits: Option<KeyLimitsRequest> = optional(|raw| KeyLimitsRequest::read(object(raw)?)),
    }
}

request_body! {
    /// Rate limits of a key. After a period without requests, the limit of one minute may be used in a single burst.
    pub struct KeyLimitsRequest {
        /// Requests per minute, excluding application creation.
        #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000, example = 6000)]
        requests_per_minute: Option<NonZeroU32> = optional(per_minute),
        /// Applications created per minute.
        #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000, example = 1200)]
        applications_per_minute: Option<NonZeroU32> = optional(per_minute),
    }
}

/// A new API key with its secret, which is returned only once: the response to a repeated request omits it.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    /// The secret, for the header `X-API-Key`. Only its hash is stored, so it appears only in the first response. If it
    /// is lost, revoke the key and create another.
    #[schema(
        required = false,
        example = "aval_019a5d2e7c1a7b3e9a540d7a3c1f5e21_Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA"
    )]
    key: String,
    #[serde(flatten)]
    api_key: ApiKeyView,
}

/// Creates an API key.
///
/// The key is revoked when its creator is disabled or loses the role of the key. API keys can create keys only if
/// `accounts.keys_make_keys` allows it; these keys are revoked together with the key that created them.
#[utoipa::path(
    post,
    path = "/api/v1/api-keys",
    operation_id = "create_api_key",
    tag = "accounts",
    params(Idempotency),
    request_body(
        content = CreateApiKeyRequest,
        example = json!({"name": "core-banking", "role": "user", "scopes": ["applications:read", "applications:write"]}),
    ),
    responses(
        (status = 201, description = "API key created; store its secret", body = CreatedApiKey,
            headers(
                ("Location" = String, description = "Path of the API key"),
                ("Cache-Control" = String, description = "`no-store`"),
            )),
        (status = 409, description = "The name has been used for another key, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    idempotency: Idempotency,
    body: JsonObject,
) -> HandlerResult {
    let keyed = idempotency.keyed(&state, &principal.account, body.as_bytes(), &reply);
    let new = read(&body, state.resources.clock.now())?;
    let made = state.accounts.create_key(&new, &principal, &origin, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(made: &CreatedKey) -> Result<Reply> {
    let location = format!("/api/v1/api-keys/{}", made.key.id);
    let stored = Reply::json(StatusCode::CREATED, &ApiKeyView::from(made.key.clone()))?;
    let api_key = ApiKeyView::from(made.key.clone());
    let reply =
        stored.with_first_body(&CreatedApiKey { key: made.text.expose_secret().to_owned(), api_key })?;
    Ok(reply.with_header(&header::LOCATION, location).with_header(&header::CACHE_CONTROL, "no-store"))
}

fn read(body: &JsonObject, now: DateTime<Utc>) -> Result<NewKey> {
    let request = CreateApiKeyRequest::read(body.members()?, now)?;
    let CreateApiKeyRequest { name, role, scopes, expires_at, limits } = request;
    let limits = limits.map_or_else(KeyLimits::default, |limits| KeyLimits {
        requests_per_minute: limits.requests_per_minute,
        applications_per_minute: limits.applications_per_minute,
    });
    Ok(NewKey { name, role, scopes, expires_at, limits })
}

fn name(raw: &RawValue) -> Result<AccountName, Refusal> {
    let max_chars = AccountName::KEY_MAX_CHARS;
    let refusal = || {
        ("bad_name", format!("must be 3 to {max_chars} characters from a-z, 0-9, dot, underscore and hyphen"))
    };
    AccountName::parse(&string(raw)?).filter(|name| name.as_str().len() <= max_chars).ok_or_else(refusal)
}

/// Reads scopes. A scope that is unknown or not available to `role` is reported at its position.
fn scopes(raw: &RawValue, role: Option<Role>) -> Result<Vec<Scope>, Refusals> {
    let texts: Vec<String> =
        serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("an array of strings"))?;
    if texts.is_empty() {
        return Err(("required", format!("must contain at least one of {}", known_scopes())).into());
    }
    let (mut scopes, mut refusals) = (Vec::new(), Refusals::default());
    for (position, text) in texts.iter().enumerate() {
        match scope(text, role) {
            Ok(scope) if scopes.contains(&scope) => {}
            Ok(scope) => scopes.push(scope),
            Err(refusal) => refusals.add(format!("/{position}"), refusal),
        }
    }
    refusals.into_result(scopes)
}

fn scope(text: &str, role: Option<Role>) -> Result<Scope, Refusal> {
    let refusal = |_unknown| ("unknown_scope", format!("must be one of {}", known_scopes()));
    let scope: Scope = text.parse().map_err(refusal)?;
    if role.is_some_and(|role| role < scope.minimum_role()) {
        let detail = format!("{scope} requires a key with the role {} or a higher one", scope.minimum_role());
        return Err(("scope_needs_role", detail));
    }
    Ok(scope)
}

fn known_scopes() -> String {
    Scope::ALL.map(Scope::as_str).join(", ")
}

fn per_minute(raw: &RawValue) -> Result<NonZeroU32, Refusal> {
    let max_rate = KeyLimits::MAX_PER_MINUTE;
    let rate = whole_number(raw)?.and_then(|rate| u32::try_from(rate).ok()).filter(|rate| *rate <= max_rate);
    let refusal = || ("out_of_range", format!("must be a whole number from 1 to {max_rate}"));
    rate.and_then(NonZeroU32::new).ok_or_else(refusal)
}

fn future_time(raw: &RawValue, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let moment = DateTime::parse_from_rfc3339(&string(raw)?).ok().map(|moment| moment.to_utc());
    let refusal = || ("bad_time", "must be an RFC 3339 time in the future, before the year 10000".to_owned());
    moment.filter(|moment| *moment > now).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use actix_web::web::Bytes;

    fn codes(json: &str) -> Vec<(String, &'static str)> {
        let body = JsonObject::check(Bytes::copy_from_slice(json.as_bytes())).unwrap();
        match read(&body, DateTime::from_timestamp(1_800_000_000, 0).unwrap()) {
            Ok(_) => Vec::new(),
            Err(Error::Validation(fields)) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_needs_a_name_a_role_and_known_scopes() {
        let whole = r#"{"name": "bank", "role": "user", "scopes": ["applications:read"]}"#;
        assert!(codes(whole).is_empty());
        assert_eq!(codes("{}").len(), 3);
        for (old, new, pointer, code) in [
            ("bank", "Bank", "/name", "bad_name"),
            ("bank", &*"x".repeat(61), "/name", "bad_name"),
            ("\"user\"", "\"root\"", "/role", "unknown_role"),
            ("applications:read", "everything", "/scopes/0", "unknown_scope"),
            ("applications:read", "applications:review", "/scopes/0", "scope_needs_role"),
            ("applications:read", "operations:read", "/scopes/0", "scope_needs_role"),
            ("\"applications:read\"", "\"metrics:read\", \"x\"", "/scopes/1", "unknown_scope"),
            ("\"applications:read\"", "", "/scopes", "required"),
            ("[\"applications:read\"]", "\"applications:read\"", "/scopes", "bad_type"),
            ("}", r#", "expires_at": "2020-01-01T00:00:00Z"}"#, "/expires_at", "bad_time"),
            ("}", r#", "expires_at": "soon"}"#, "/expires_at", "bad_time"),
            ("}", r#", "x": 1}"#, "/x", "unknown_field"),
            ("}", r#", "limits": []}"#, "/limits", "bad_type"),
            (
                "}",
                r#", "limits": {"requests_per_minute": 0}}"#,
                "/limits/requests_per_minute",
                "out_of_range",
            ),
            ("}", r#", "limits": {"per_minute": 1}}"#, "/limits/per_minute", "unknown_field"),
        ] {
            assert_eq!(codes(&whole.replacen(old, new, 1)), [(pointer.to_owned(), code)], "{new}");
        }
    }
}
