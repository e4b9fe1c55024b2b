//! The accounts of users: reading, creating and changing them.
//!
//! Triggers react to every change, including changes made with plain SQL: they invalidate access tokens (`token_version`)
//! and sessions where needed, and notify all instances (see the migrations).

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::users;
use super::security_events;
use super::types::{PgLabel, PgRole};
use crate::domain::account::Role;
use crate::error::{Error, Result};

/// A user's account without the password hash.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct User {
    pub id: Uuid,
    /// Unique and immutable.
    pub username: String,
    #[diesel(deserialize_as = PgRole)]
    pub role: Role,
    /// The version that an access token must contain to be valid.
    pub token_version: i64,
    pub disabled_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A user's account in a list. Its role may be unknown to this version.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct ListedUser {
    pub id: Uuid,
    /// Unique and immutable.
    pub username: String,
    pub role: PgLabel<Role>,
    pub disabled_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<User> for ListedUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            role: PgLabel(user.role.into()),
            disabled_at: user.disabled_at,
            created_by: user.created_by,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

impl ListedUser {
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// The name of the role as stored.
    pub fn role_name(&self) -> &str {
        self.role.0.text(Role::as_str)
    }
}

impl User {
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }
}

/// An account to insert.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    pub id: Uuid,
    pub username: &'a str,
    /// Argon2id, in PHC string format.
    pub password_hash: &'a str,
    pub role: Role,
    pub created_by: &'a str,
}

/// The changes to an account. `None` leaves a value unchanged.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub password_hash: Option<String>,
}

type Values<'a> = (
    diesel::dsl::Eq<users::id, Uuid>,
    diesel::dsl::Eq<users::username, &'a str>,
    diesel::dsl::Eq<users::password_hash, &'a str>,
    diesel::dsl::Eq<users::role, PgRole>,
    diesel::dsl::Eq<users::created_by, &'a str>,
);

fn values<'a>(user: &NewUser<'a>) -> Values<'a> {
    (
        users::id.eq(user.id),
        users::username.eq(user.username),
        users::password_hash.eq(user.password_hash),
        users::role.eq(PgRole(user.role)),
        users::created_by.eq(user.created_by),
    )
}

/// Creates an account. Returns `None` when the name is taken.
pub async fn insert(connection: &mut AsyncPgConnection, user: &NewUser<'_>) -> Result<Option<User>> {
    Ok(diesel::insert_into(users::table)
        .values(values(user))
        .on_conflict(users::username)
        .do_nothing()
        .returning(User::as_returning())
        .get_result(connection)
        .await
        .optional()?)
}

pub async fn any(connection: &mut AsyncPgConnection) -> Result<bool> {
    let any = diesel::select(diesel::dsl::exists(users::table.select(users::id)));
    Ok(any.get_result(connection).await?)
}

pub async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<User>> {
    let query = users::table.select(User::as_select()).find(id);
    Ok(query.first(connection).await.optional()?)
}

/// Gets an account.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn get(connection: &mut AsyncPgConnection, id: Uuid) -> Result<User> {
    find(connection, id).await?.ok_or(Error::NotFound("account"))
}

/// Gets an account, even if its role is unknown to this version.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn get_listed(connection: &mut AsyncPgConnection, id: Uuid) -> Result<ListedUser> {
    let query = users::table.select(ListedUser::as_select()).find(id);
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Like [`get_listed`], and locks the account against changes until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn lock_listed(connection: &mut AsyncPgConnection, id: Uuid) -> Result<ListedUser> {
    let query = users::table.select(ListedUser::as_select()).find(id).for_no_key_update();
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Gets an account with its password hash and locks it against changes until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn lock(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(User, String)> {
    let columns = (User::as_select(), users::password_hash);
    let query = users::table.select(columns).find(id).for_no_key_update();
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Finds an account and locks it against changes until the transaction ends. Several transactions can hold the lock.
pub async fn find_and_share_lock(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<User>> {
    let query = users::table.select(User::as_select()).find(id).for_share();
    Ok(query.first(connection).await.optional()?)
}

/// Finds an account by its name, with its password hash.
pub async fn find_by_name(
    connection: &mut AsyncPgConnection,
    username: &str,
) -> Result<Option<(User, String)>> {
    let query =
        users::table.select((User::as_select(), users::password_hash)).filter(users::username.eq(username));
    Ok(query.first(connection).await.optional()?)
}

/// The password hash of an account.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn password_hash(connection: &mut AsyncPgConnection, id: Uuid) -> Result<String> {
    let query = users::table.select(users::password_hash).find(id);
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

pub async fn find_admin(connection: &mut AsyncPgConnection) -> Result<Option<User>> {
    let query = users::table
        .select(User::as_select())
        .filter(users::role.eq(PgRole(Role::Admin)))
        .filter(users::disabled_at.is_null())
        .order(users::id);
    Ok(query.first(connection).await.optional()?)
}

/// Up to `limit` accounts created before the account `before`, newest first.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ListedUser>> {
    let mut query =
        users::table.select(ListedUser::as_select()).order(users::id.desc()).limit(limit).into_boxed();
    if let Some(before) = before {
        query = query.filter(users::id.lt(before));
    }
    Ok(query.load(connection).await?)
}

/// Locks all enabled admins against changes until the transaction ends, and returns how many there are besides `id`. The
/// lock prevents two transactions from each removing one of the last two admins.
pub async fn lock_other_admins(connection: &mut AsyncPgConnection, id: Uuid) -> Result<usize> {
    let query = users::table
        .select(users::id)
        .filter(users::role.eq(PgRole(Role::Admin)))
        .filter(users::disabled_at.is_null())
        .order(users::id)
        .for_no_key_update();
    let admins: Vec<Uuid> = query.load(connection).await?;
    Ok(admins.into_iter().filter(|admin| *admin != id).count())
}

/// Changes an account. Disabling a disabled account keeps its `disabled_at`.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn update(
    connection: &mut AsyncPgConnection,
    before: &ListedUser,
    change: &UserChange,
    now: DateTime<Utc>,
) -> Result<ListedUser> {
    let disabled_at = match change.disabled {
        Some(true) => before.disabled_at.or(Some(now)),
        Some(false) => None,
        None => before.disabled_at,
    };
    let changes = (
        change.role.map(|role| users::role.eq(PgRole(role))),
        users::disabled_at.eq(disabled_at),
        change.password_hash.as_ref().map(|hash| users::password_hash.eq(hash)),
    );
    let updated =
        diesel::update(users::table.find(before.id)).set(changes).returning(ListedUser::as_returning());
    updated.get_result(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Stores a new hash of the same password. The account's sessions continue.
pub async fn rehash(connection: &mut AsyncPgConnection, id: Uuid, password_hash: &str) -> Result<()> {
    security_events::keep_sessions_of(connection, id).await?;
    diesel::update(users::table.find(id))
        .set(users::password_hash.eq(password_hash))
        .execute(connection)
        .await?;
    Ok(())
}

/// The cost parameters of all stored password hashes, as in their PHC strings: `m=19456,t=2,p=1`.
pub async fn password_costs(connection: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let costs = sql::<Text>("split_part(password_hash, '$', 4)");
    Ok(users::table.select(costs).distinct().load(connection).await?)
}

/// Invalidates all access tokens of an account.
pub async fn end_tokens(connection: &mut AsyncPgConnection, id: Uuid) -> Result<()> {
    diesel::update(users::table.find(id))
        .set(users::token_version.eq(users::token_version + 1))
        .execute(connection)
        .await?;
    Ok(())
}
