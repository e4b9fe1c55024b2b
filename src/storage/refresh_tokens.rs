//! Refresh tokens. Each can be used once. The tokens that descend from one sign-in form a family.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::refresh_tokens;
use super::seal::{KeyRing, SealedField};
use crate::error::Result;

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = refresh_tokens, check_for_backend(diesel::pg::Pg))]
pub struct RefreshToken {
    pub id: Uuid,
    /// The session, which all tokens of one sign-in share.
    pub family: Uuid,
    pub user_id: Uuid,
    pub expires_at: DateTime<Utc>,
    /// When it was first used.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When it was revoked, alone or with its family.
    pub revoked_at: Option<DateTime<Utc>>,
    pub session_started_at: DateTime<Utc>,
    /// The number of times that it was exchanged.
    pub uses: i32,
}

/// A token to insert.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = refresh_tokens, check_for_backend(diesel::pg::Pg))]
pub struct NewRefreshToken<'a> {
    pub id: Uuid,
    /// SHA-256 of the token.
    pub token_hash: &'a [u8],
    /// The session, which all tokens of one sign-in share.
    pub family: Uuid,
    pub user_id: Uuid,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub session_started_at: DateTime<Utc>,
    /// The sealed address of the client.
    pub address: Option<&'a [u8]>,
    pub user_agent: Option<&'a str>,
}

pub async fn insert(connection: &mut AsyncPgConnection, token: &NewRefreshToken<'_>) -> Result<()> {
    diesel::insert_into(refresh_tokens::table).values(token).execute(connection).await?;
    Ok(())
}

/// Finds a token by its hash.
pub async fn find(connection: &mut AsyncPgConnection, token_hash: &[u8]) -> Result<Option<RefreshToken>> {
    let query = refresh_tokens::table
        .select(RefreshToken::as_select())
        .filter(refresh_tokens::token_hash.eq(token_hash));
    Ok(query.first(connection).await.optional()?)
}

/// Records a use of a token, and the replacement that its first use returned.
pub async fn rotate(
    connection: &mut AsyncPgConnection,
    token: &RefreshToken,
    replaced_by: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    let first = token.rotated_at.is_none();
    let first_use = (refresh_tokens::rotated_at.eq(now), refresh_tokens::replaced_by.eq(replaced_by));
    diesel::update(refresh_tokens::table.find(token.id))
        .set((first.then_some(first_use), refresh_tokens::uses.eq(refresh_tokens::uses + 1)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Revokes all unused tokens of a session except the newest `keep`. The caller must hold the lock of the account.
pub async fn revoke_surplus(
    connection: &mut AsyncPgConnection,
    family: Uuid,
    keep: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let surplus: Vec<Uuid> = refresh_tokens::table
        .select(refresh_tokens::id)
        .filter(refresh_tokens::family.eq(family))
        .filter(refresh_tokens::revoked_at.is_null())
        .filter(refresh_tokens::rotated_at.is_null())
        .order((refresh_tokens::issued_at.desc(), refresh_tokens::id.desc()))
        .offset(keep)
        .load(connection)
        .await?;
    if !surplus.is_empty() {
        diesel::update(refresh_tokens::table.filter(refresh_tokens::id.eq_any(surplus)))
            .set(refresh_tokens::revoked_at.eq(now))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Revokes all tokens of a session. The caller must hold the lock of the account. Otherwise a token could be added to the
/// family at the same time.
pub async fn revoke_family(
    connection: &mut AsyncPgConnection,
    family: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    diesel::update(refresh_tokens::table)
        .filter(refresh_tokens::family.eq(family))
        .filter(refresh_tokens::revoked_at.is_null())
        .set(refresh_tokens::revoked_at.eq(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// A session that can be renewed, as its newest unused token shows it.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
#[diesel(table_name = refresh_tokens, check_for_backend(diesel::pg::Pg))]
pub struct OpenSession {
    /// The token, which `address` is bound to.
    id: Uuid,
    /// The session.
    pub family: Uuid,
    pub session_started_at: DateTime<Utc>,
    /// When it was last renewed.
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    address: Option<Vec<u8>>,
    pub user_agent: Option<String>,
}

impl OpenSession {
    /// The address that last renewed the session. Also `None` if the encryption key is missing.
    pub fn open_address(&self, keys: &KeyRing) -> Option<String> {
        keys.open(SealedField::SessionAddress, self.id.as_bytes(), self.address.as_ref()?).ok()
    }
}

/// Up to `limit` open sessions of an account, the most recently renewed first.
pub async fn open_sessions(
    connection: &mut AsyncPgConnection,
    user_id: Uuid,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<OpenSession>> {
    let query = "SELECT * FROM (SELECT DISTINCT ON (family) id, family, session_started_at, issued_at, expires_at, address, \
            user_agent \
        FROM refresh_tokens WHERE user_id = $1 AND revoked_at IS NULL AND rotated_at IS NULL AND expires_at > $2 \
        ORDER BY family, issued_at DESC, id DESC) s ORDER BY issued_at DESC, id DESC LIMIT $3";
    let query = diesel::sql_query(query)
        .bind::<sql_types::Uuid, _>(user_id)
        .bind::<Timestamptz, _>(now)
        .bind::<BigInt, _>(limit);
    Ok(query.load(connection).await?)
}

/// Revokes all tokens of one session of an account, or of all its sessions, and returns how many. The caller must hold
/// the lock of the account.
pub async fn revoke_of_account(
    connection: &mut AsyncPgConnection,
    user_id: Uuid,
    family: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<usize> {
    let mut revocation = diesel::update(refresh_tokens::table)
        .filter(refresh_tokens::user_id.eq(user_id))
        .filter(refresh_tokens::revoked_at.is_null())
        .set(refresh_tokens::revoked_at.eq(now))
        .into_boxed();
    if let Some(family) = family {
        revocation = revocation.filter(refresh_tokens::family.eq(family));
    }
    Ok(revocation.execute(connection).await?)
}

/// Deletes expired tokens. They are rejected whether or not they have a row.
pub async fn delete_expired(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<usize> {
    let expired = refresh_tokens::table.filter(refresh_tokens::expires_at.le(now));
    Ok(diesel::delete(expired).execute(connection).await?)
}
