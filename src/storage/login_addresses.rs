//! The addresses that accounts have signed in from, as keyed hashes.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::{login_addresses, users};
use crate::error::Result;

/// The maximum number of addresses stored per account.
const MAX_PER_ACCOUNT: i64 = 20;

/// Records a sign-in from an address. Keeps the account's most recently used addresses and deletes those above the limit.
pub async fn record(
    connection: &mut AsyncPgConnection,
    user_id: Uuid,
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<()> {
    diesel::insert_into(login_addresses::table)
        .values((
            login_addresses::user_id.eq(user_id),
            login_addresses::address_digest.eq(digest),
            login_addresses::last_login_at.eq(now),
        ))
        .on_conflict((login_addresses::user_id, login_addresses::address_digest))
        .do_update()
        .set(login_addresses::last_login_at.eq(now))
        .execute(connection)
        .await?;
    let account_addresses = login_addresses::table.filter(login_addresses::user_id.eq(user_id));
    let surplus: Vec<Vec<u8>> = account_addresses
        .select(login_addresses::address_digest)
        .order(login_addresses::last_login_at.desc())
        .offset(MAX_PER_ACCOUNT)
        .load(connection)
        .await?;
    if !surplus.is_empty() {
        let surplus = account_addresses.filter(login_addresses::address_digest.eq_any(surplus));
        diesel::delete(surplus).execute(connection).await?;
    }
    Ok(())
}

/// Whether the account with this name has signed in from an address.
pub async fn is_known(connection: &mut AsyncPgConnection, username: &str, digest: &[u8]) -> Result<bool> {
    let logins = login_addresses::table
        .inner_join(users::table)
        .filter(users::username.eq(username))
        .filter(login_addresses::address_digest.eq(digest));
    Ok(diesel::select(diesel::dsl::exists(logins)).get_result(connection).await?)
}

/// Deletes addresses last used before `time`.
pub async fn delete_before(connection: &mut AsyncPgConnection, time: DateTime<Utc>) -> Result<usize> {
    let old = login_addresses::table.filter(login_addresses::last_login_at.lt(time));
    Ok(diesel::delete(old).execute(connection).await?)
}
