//! How an API key is shown.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::ApiKey;
use crate::domain::account::{AccountName, Role, Scope};
use crate::domain::label::Label;

/// How often a key may be used; `null`: as often as `[limits]` says for keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyLimitsView {
    /// Requests a minute, creations not counted.
    #[schema(example = 6000)]
    requests_per_minute: Option<u32>,
    /// Applications created a minute.
    #[schema(example = 1200)]
    applications_per_minute: Option<u32>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// The identifier.
    pub(super) id: Uuid,
    /// The name, which never changes.
    #[schema(example = "core-banking")]
    name: String,
    /// The account that it acts as.
    #[schema(example = "key:core-banking")]
    account: String,
    /// How its text begins, to tell it from others.
    #[schema(example = "aval_019a5d2e7c1a7b3e9a540d7a3c1f5e21_")]
    prefix: String,
    /// The most that it may do.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: Label<Role>,
    /// What it was made for.
    #[schema(value_type = Vec<crate::http::schemas::ScopeName>)]
    scopes: Vec<Scope>,
    /// Who made it.
    #[schema(example = "admin")]
    created_by: String,
    /// When it was made.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// Until when it is good; `null`: for ever.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    expires_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to ten minutes.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    last_used_at: Option<DateTime<Utc>>,
    /// How often it may be used.
    limits: KeyLimitsView,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            account: format!("{}{}", AccountName::KEY_PREFIX, key.name),
            prefix: key.prefix(),
            name: key.name,
            role: key.role,
            scopes: key.scopes,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            limits: KeyLimitsView {
                requests_per_minute: key.limits.requests_per_minute.map(NonZeroU32::get),
                applications_per_minute: key.limits.applications_per_minute.map(NonZeroU32::get),
            },
        }
    }
}
