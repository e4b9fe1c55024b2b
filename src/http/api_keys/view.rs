//! Response types for API keys.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::ApiKey;
use crate::domain::account::{AccountName, Role, Scope};
use crate::domain::label::Label;

/// Rate limits of a key; `null` means the default from `[limits]`.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyLimitsView {
    /// Requests per minute, excluding application creation.
    #[schema(example = 6000)]
    requests_per_minute: Option<u32>,
    /// Applications created per minute.
    #[schema(example = 1200)]
    applications_per_minute: Option<u32>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// The identifier.
    pub(super) id: Uuid,
    /// The name; it never changes.
    #[schema(example = "core-banking")]
    name: String,
    /// The account that the key authenticates as.
    #[schema(example = "key:core-banking")]
    account: String,
    /// The first characters of the key, for recognizing it.
    #[schema(example = "aval_019a5d2e7c1a7b3e9a540d7a3c1f5e21_")]
    prefix: String,
    /// The role whose permissions the key cannot exceed.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: Label<Role>,
    /// The scopes granted to the key.
    #[schema(value_type = Vec<crate::http::schemas::ScopeName>)]
    scopes: Vec<Scope>,
    /// The account that created the key.
    #[schema(example = "admin")]
    created_by: String,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// Expiry time; `null` if the key does not expire.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    expires_at: Option<DateTime<Utc>>,
    /// Time of revocation; `null` if the key has not been revoked.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    revoked_at: Option<DateTime<Utc>>,
    /// Time of last use, accurate to ten minutes.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    last_used_at: Option<DateTime<Utc>>,
    /// The key's rate limits.
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
