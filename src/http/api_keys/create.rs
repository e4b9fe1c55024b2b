//! `POST /api/v1/api-keys`

use actix_web::http::{StatusCode, header};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::view::ApiKeyView;
use crate::accounts::{NewKey, Origin};
use crate::domain::account::{AccountName, Scope};
use crate::domain::members::{Fields, Problems, Refusal, bad_type, string};
use crate::error::{Error, PublicMessage, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::idempotency::{self, Idempotency, IdempotencyParameter, Once, Reply};
use crate::http::problem::Answer;
use crate::http::users;

/// A new key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct CreateApiKeyRequest {
    /// How it is called, for ever: it acts as the account `key:<name>`.
    #[schema(min_length = 3, max_length = 60, pattern = "^[a-z0-9._-]+$", example = "core-banking")]
    name: String,
    /// The most that it may do.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: String,
    /// What it is for; at least one.
    #[schema(value_type = Vec<crate::http::schemas::ScopeName>, min_items = 1)]
    scopes: Vec<String>,
    /// Until when it is good; for ever when absent. A key that a key makes ends no later than that key.
    expires_at: Option<DateTime<Utc>>,
}

/// A new key, with its text, which is never shown again: a repeated request is answered without it.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    /// For the header `X-API-Key`. Only a digest of it is kept, so that it stands in the first answer alone: whoever lost
    /// that takes the key back and makes another.
    #[schema(
        required = false,
        example = "aval_019a5d2e7c1a7b3e9a540d7a3c1f5e21_Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA"
    )]
    key: String,
    #[serde(flatten)]
    api_key: ApiKeyView,
}

/// Makes an API key.
///
/// It is revoked when the person who made it is disabled or loses the key's role. API keys may make keys only where
/// `accounts.keys_make_keys` says so; such a key is revoked with the one that made it.
#[utoipa::path(
    post,
    path = "/api/v1/api-keys",
    operation_id = "create_api_key",
    tag = "accounts",
    params(IdempotencyParameter),
    request_body(
        content = CreateApiKeyRequest,
        example = json!({"name": "core-banking", "role": "user", "scopes": ["applications:read", "applications:write"]}),
    ),
    responses(
        (status = 201, description = "It is made; keep its text", body = CreatedApiKey,
            headers(
                ("Location" = String, description = "Its path"),
                ("Cache-Control" = String, description = "`no-store`"),
            )),
        (status = 409, description = "The name was given to a key before, or the same request is being answered at this moment"),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    principal: Principal,
    origin: Origin,
    idempotency: Idempotency,
    body: JsonObject,
) -> Answer {
    let now = state.resources.clock.now();
    let write = idempotency.write(state.keys(), &principal.account, body.as_bytes(), now);
    let new = read(&body, now)?;
    if new.exceeds(&principal) {
        let text = "A key cannot be given a role or a scope that its maker does not have.";
        return Err(Error::Forbidden(PublicMessage::new(text)).into());
    }
    let minted = state.accounts.mint_key(&origin)?;
    let made = idempotency::once(&state, "create_api_key", write.as_ref(), async |connection| {
        let (key, text) = minted.insert(connection, &new).await?;
        let api_key = ApiKeyView::from(key);
        let location = format!("/api/v1/api-keys/{}", api_key.id);
        let kept = Reply::json(StatusCode::CREATED, &api_key)?;
        let reply = kept.telling_once(&CreatedApiKey { key: text.expose_secret().to_owned(), api_key })?;
        Ok(reply.with_header(&header::LOCATION, location).with_header(&header::CACHE_CONTROL, "no-store"))
    });
    let made = made.await?;
    if let Once::Made(_) = made {
        minted.log(&new);
    }
    made.response()
}

fn read(body: &JsonObject, now: DateTime<Utc>) -> Result<NewKey> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let name = fields.required("name", name);
    let role = fields.required("role", users::role);
    let scopes = fields.required("scopes", scopes);
    let expires_at = fields.optional("expires_at", |raw| later(raw, now));
    fields.refuse_the_rest();
    match (name, role, scopes, problems.0.is_empty()) {
        (Some(name), Some(role), Some(scopes), true) => Ok(NewKey { name, role, scopes, expires_at }),
        _ => Err(Error::Validation(problems.0)),
    }
}

fn name(raw: &RawValue) -> Result<AccountName, Refusal> {
    let name = users::create::account_name(raw)?;
    if name.as_str().len() > AccountName::KEY_MAX_CHARS {
        return Err(("bad_name", format!("must have at most {} characters", AccountName::KEY_MAX_CHARS)));
    }
    Ok(name)
}

fn scopes(raw: &RawValue) -> Result<Vec<Scope>, Refusal> {
    let names: Vec<String> =
        serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("an array of strings"))?;
    let known = || format!("must be some of {}", Scope::ALL.map(Scope::as_str).join(", "));
    let mut scopes = Vec::new();
    for name in names {
        let scope = name.parse().ok().ok_or_else(|| ("unknown_scope", known()))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { Err(("required", known())) } else { Ok(scopes) }
}

fn later(raw: &RawValue, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let moment = DateTime::parse_from_rfc3339(&string(raw)?).ok().map(|moment| moment.to_utc());
    let refusal = || ("bad_time", "must be an RFC 3339 time to come, before the year 10000".to_owned());
    moment.filter(|moment| *moment > now).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            ("applications:read", "everything", "/scopes", "unknown_scope"),
            ("\"applications:read\"", "", "/scopes", "required"),
            ("[\"applications:read\"]", "\"applications:read\"", "/scopes", "bad_type"),
            ("}", r#", "expires_at": "2020-01-01T00:00:00Z"}"#, "/expires_at", "bad_time"),
            ("}", r#", "expires_at": "soon"}"#, "/expires_at", "bad_time"),
            ("}", r#", "x": 1}"#, "/x", "unknown_field"),
        ] {
            assert_eq!(codes(&whole.replacen(old, new, 1)), [(pointer.to_owned(), code)], "{new}");
        }
    }
}
