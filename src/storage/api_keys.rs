//! Keys of machine clients.

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

/// How exact `last_used_at` is.
const LAST_USED_GRAIN: TimeDelta = TimeDelta::minutes(10);

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

/// A key, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The identifier, which is the public part of the key.
    pub id: Uuid,
    /// The name, which never changes.
    pub name: String,
    /// SHA-256 of the secret part.
    pub key_hash: Vec<u8>,
    /// The most that it may do.
    pub role: Label<Role>,
    /// What it was made for.
    pub scopes: Vec<Scope>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it is good; for ever when absent.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to ten minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// How often it may be used.
    pub limits: KeyLimits,
}

impl ApiKey {
    /// What every key begins with, so that it is recognised where it should not be.
    pub const WORD: &'static str = "aval";

    /// Whether a text is meant as a key. No access token has an underscore among its first five characters.
    pub fn is_key(text: &str) -> bool {
        text.strip_prefix(Self::WORD).is_some_and(|rest| rest.starts_with('_'))
    }

    /// The part before the secret, which tells the key from others.
    pub fn prefix(&self) -> String {
        format!("{}_{}_", Self::WORD, self.id.simple())
    }

    /// Whether it is good.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether its use was noted in the last ten minutes: a write at each request would cost more than the request.
    pub fn was_used_lately(&self, now: DateTime<Utc>) -> bool {
        self.last_used_at.is_some_and(|last| now - last < LAST_USED_GRAIN)
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<ApiKeyRow> for ApiKey {
    /// A scope that this version does not know gives nothing: a newer one made the key.
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

/// A key to be stored.
#[derive(Debug, Clone)]
pub struct NewApiKey<'a> {
    /// The identifier.
    pub id: Uuid,
    /// The name.
    pub name: &'a str,
    /// SHA-256 of the secret part.
    pub key_hash: &'a [u8],
    /// The most that it may do.
    pub role: Role,
    /// What it is made for.
    pub scopes: &'a [Scope],
    /// Who makes it.
    pub created_by: &'a str,
    /// The person who makes it: it is revoked when that account is disabled.
    pub made_by_user: Option<Uuid>,
    /// The key that makes it: it ends no later, and is revoked with it.
    pub made_by_key: Option<Uuid>,
    /// Until when it is good.
    pub expires_at: Option<DateTime<Utc>>,
    /// How often it may be used.
    pub limits: KeyLimits,
}

/// Stores a key; `None` when the name is taken, be it by a key that was taken back.
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

/// Finds a key.
pub async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<ApiKey>> {
    let query = api_keys::table.select(ApiKeyRow::as_select()).find(id);
    Ok(query.first(connection).await.optional()?.map(ApiKey::from))
}

/// Finds a key, and keeps it from being changed until the transaction ends. Several transactions may hold the lock.
pub async fn find_unchanging(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<ApiKey>> {
    let query = api_keys::table.select(ApiKeyRow::as_select()).find(id).for_share();
    Ok(query.first(connection).await.optional()?.map(ApiKey::from))
}

/// Keys, newest first, at most `limit`, made before `before`.
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

/// Revokes a key, and by trigger those that it has made. Doing it twice changes nothing.
///
/// # Errors
/// [`Error::NotFound`], or when the database fails.
pub async fn revoke(connection: &mut AsyncPgConnection, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    // The condition is evaluated again on the newest row when another transaction revokes the key at the same time.
    let live = api_keys::table.find(id).filter(api_keys::revoked_at.is_null());
    let revoked = diesel::update(live).set(api_keys::revoked_at.eq(now)).execute(connection).await?;
    if revoked == 0 {
        find(connection, id).await?.ok_or(Error::NotFound("API key"))?;
    }
    Ok(())
}

/// Notes that a key was used.
pub async fn touch(connection: &mut AsyncPgConnection, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    diesel::update(api_keys::table.find(id)).set(api_keys::last_used_at.eq(now)).execute(connection).await?;
    Ok(())
}
