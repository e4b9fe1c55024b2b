//! API keys of machine clients.

use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::api_keys;
use super::types::{PgLabel, PgRole};
use crate::domain::account::{KeyLimits, Role, Scope};
use crate::domain::label::Label;
use crate::error::{Error, Result};

/// The precision of `last_used_at`.
const LAST_USED_RESOLUTION: TimeDelta = TimeDelta::minutes(10);

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys, check_for_backend(diesel::pg::Pg))]
struct ApiKeyRow {
    id: Uuid,
    name: String,
    key_hash: Vec<u8>,
    role: PgLabel<Role>,
    scopes: Vec<Option<String>>,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    requests_per_minute: Option<i32>,
    applications_per_minute: Option<i32>,
}

/// An API key without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part of the key.
    pub id: Uuid,
    /// Unique and immutable.
    pub name: String,
    /// SHA-256 of the secret part.
    pub key_hash: Vec<u8>,
    /// The upper limit of the key's permissions.
    pub role: Label<Role>,
    pub scopes: Vec<Scope>,
    /// The account that created the key.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// `None` if the key does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// Accurate to ten minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    pub limits: KeyLimits,
}

impl ApiKey {
    /// The prefix of every key. It lets secret scanners recognize a leaked key.
    pub const PREFIX: &'static str = "aval";

    /// Whether a string starts with the prefix of API keys. Access tokens never have an underscore among their first
    /// five characters.
    pub fn is_key(text: &str) -> bool {
        text.strip_prefix(Self::PREFIX).is_some_and(|rest| rest.starts_with('_'))
    }

    /// The part before the secret, which identifies the key.
    pub fn prefix(&self) -> String {
        format!("{}_{}_", Self::PREFIX, self.id.simple())
    }

    /// Whether the key is neither revoked nor expired.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether `last_used_at` is less than ten minutes old and need not be written again. Writing it on every request
    /// would cost more than the request.
    pub fn was_used_recently(&self, now: DateTime<Utc>) -> bool {
        self.last_used_at.is_some_and(|last| now - last < LAST_USED_RESOLUTION)
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<ApiKeyRow> for ApiKey {
    /// Omits scopes that are unknown to this version because a newer version created them.
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            key_hash: row.key_hash,
            role: row.role.0,
            scopes: row.scopes.into_iter().flatten().filter_map(|scope| scope.parse().ok()).collect(),
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            limits: KeyLimits {
                requests_per_minute: rate(row.requests_per_minute),
                applications_per_minute: rate(row.applications_per_minute),
            },
        }
    }
}

fn rate(per_minute: Option<i32>) -> Option<NonZeroU32> {
    per_minute.and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new)
}

fn rate_column(per_minute: Option<NonZeroU32>) -> Option<i32> {
    per_minute.map(|rate| i32::try_from(rate.get()).unwrap_or(i32::MAX))
}

/// A key to insert.
#[derive(Debug, Clone)]
pub struct NewApiKey<'a> {
    pub id: Uuid,
    pub name: &'a str,
    /// SHA-256 of the secret part.
    pub key_hash: &'a [u8],
    pub role: Role,
    pub scopes: &'a [Scope],
    pub created_by: &'a str,
    /// The user who creates the key. The key is revoked when that account is disabled.
    pub made_by_user: Option<Uuid>,
    /// The key that creates this key. The new key expires no later than its creator and is revoked with it.
    pub made_by_key: Option<Uuid>,
    pub expires_at: Option<DateTime<Utc>>,
    pub limits: KeyLimits,
}

/// Stores a key. Returns `None` when the name is taken, even by a revoked key.
pub async fn insert(connection: &mut AsyncPgConnection, key: &NewApiKey<'_>) -> Result<Option<ApiKey>> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let row: Option<ApiKeyRow> = diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id),
            api_keys::name.eq(key.name),
            api_keys::key_hash.eq(key.key_hash),
            api_keys::role.eq(PgRole(key.role)),
            api_keys::scopes.eq(scopes),
            api_keys::created_by.eq(key.created_by),
            api_keys::made_by_user.eq(key.made_by_user),
            api_keys::made_by_key.eq(key.made_by_key),
            api_keys::expires_at.eq(key.expires_at),
            api_keys::requests_per_minute.eq(rate_column(key.limits.requests_per_minute)),
            api_keys::applications_per_minute.eq(rate_column(key.limits.applications_per_minute)),
        ))
        .on_conflict(api_keys::name)
        .do_nothing()
        .returning(ApiKeyRow::as_returning())
        .get_result(connection)
        .await
        .optional()?;
    Ok(row.map(ApiKey::from))
}

pub async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<ApiKey>> {
    let query = api_keys::table.select(ApiKeyRow::as_select()).find(id);
    Ok(query.first(connection).await.optional()?.map(ApiKey::from))
}

/// Finds a key and locks it against changes until the transaction ends. Several transactions can hold the lock.
pub async fn find_and_share_lock(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<ApiKey>> {
    let query = api_keys::table.select(ApiKeyRow::as_select()).find(id).for_share();
    Ok(query.first(connection).await.optional()?.map(ApiKey::from))
}

/// Up to `limit` keys created before the key `before`, newest first.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiKey>> {
    let mut query =
        api_keys::table.select(ApiKeyRow::as_select()).order(api_keys::id.desc()).limit(limit).into_boxed();
    if let Some(before) = before {
        query = query.filter(api_keys::id.lt(before));
    }
    let rows: Vec<ApiKeyRow> = query.load(connection).await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

/// Revokes a key; a trigger revokes the keys that it created. Idempotent.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn revoke(connection: &mut AsyncPgConnection, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    // If another transaction revokes the key at the same time, PostgreSQL evaluates the filter again after that commit,
    // so the time of the first revocation is kept.
    let live = api_keys::table.find(id).filter(api_keys::revoked_at.is_null());
    let revoked = diesel::update(live).set(api_keys::revoked_at.eq(now)).execute(connection).await?;
    if revoked == 0 {
        find(connection, id).await?.ok_or(Error::NotFound("API key"))?;
    }
    Ok(())
}

/// Sets `last_used_at`.
pub async fn touch(connection: &mut AsyncPgConnection, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    diesel::update(api_keys::table.find(id)).set(api_keys::last_used_at.eq(now)).execute(connection).await?;
    Ok(())
}
