//! People who may log in.
//!
//! What ends tokens (`token_version`) and sessions is done by trigger, for plain SQL too, and every change is announced
//! to all instances (see the migrations).

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

/// A person's account, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct User {
    /// The identifier.
    pub id: Uuid,
    /// The name, which never changes.
    pub username: String,
    /// What it may do.
    #[diesel(deserialize_as = PgRole)]
    pub role: Role,
    /// What its access tokens must carry.
    pub token_version: i64,
    /// Since when it may not log in.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A person's account in a list, whatever its role.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct ListedUser {
    /// The identifier.
    pub id: Uuid,
    /// The name, which never changes.
    pub username: String,
    /// What it may do.
    pub role: PgLabel<Role>,
    /// Since when it may not log in.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
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
    /// Whether the account may log in.
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// The stored name of the role.
    pub fn role_name(&self) -> &str {
        self.role.0.text(Role::as_str)
    }
}

impl User {
    /// Whether it may log in.
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    /// The identifier.
    pub id: Uuid,
    /// The name.
    pub username: &'a str,
    /// Argon2id, in PHC string format.
    pub password_hash: &'a str,
    /// What it may do.
    pub role: Role,
    /// Who makes it.
    pub created_by: &'a str,
}

/// What is to change; nothing of what is `None`.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// Another role.
    pub role: Option<Role>,
    /// Whether it may not log in.
    pub disabled: Option<bool>,
    /// Another password's hash.
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

/// Makes an account; `None` when the name is taken.
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

/// Whether there is any account.
pub async fn any(connection: &mut AsyncPgConnection) -> Result<bool> {
    let any = diesel::select(diesel::dsl::exists(users::table.select(users::id)));
    Ok(any.get_result(connection).await?)
}

/// Finds an account.
pub async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<User>> {
    let query = users::table.select(User::as_select()).find(id);
    Ok(query.first(connection).await.optional()?)
}

/// Gets an account.
///
/// # Errors
/// [`Error::NotFound`], or when the database fails.
pub async fn get(connection: &mut AsyncPgConnection, id: Uuid) -> Result<User> {
    find(connection, id).await?.ok_or(Error::NotFound("account"))
}

/// Gets an account whatever its role.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get_listed(connection: &mut AsyncPgConnection, id: Uuid) -> Result<ListedUser> {
    let query = users::table.select(ListedUser::as_select()).find(id);
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Gets an account whatever its role, and keeps it from being changed until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn lock_listed(connection: &mut AsyncPgConnection, id: Uuid) -> Result<ListedUser> {
    let query = users::table.select(ListedUser::as_select()).find(id).for_no_key_update();
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Gets an account with the hash of its password, and keeps it from being changed until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`], or when the database fails.
pub async fn lock(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(User, String)> {
    let columns = (User::as_select(), users::password_hash);
    let query = users::table.select(columns).find(id).for_no_key_update();
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Finds an account, and keeps it from being changed until the transaction ends. Several transactions may hold the lock.
pub async fn find_unchanging(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<User>> {
    let query = users::table.select(User::as_select()).find(id).for_share();
    Ok(query.first(connection).await.optional()?)
}

/// Finds an account by its name, with the hash of its password.
pub async fn find_by_name(
    connection: &mut AsyncPgConnection,
    username: &str,
) -> Result<Option<(User, String)>> {
    let query =
        users::table.select((User::as_select(), users::password_hash)).filter(users::username.eq(username));
    Ok(query.first(connection).await.optional()?)
}

/// The hash of an account's password.
///
/// # Errors
/// [`Error::NotFound`], or when the database fails.
pub async fn password_hash(connection: &mut AsyncPgConnection, id: Uuid) -> Result<String> {
    let query = users::table.select(users::password_hash).find(id);
    query.first(connection).await.optional()?.ok_or(Error::NotFound("account"))
}

/// Finds the oldest enabled admin.
pub async fn find_admin(connection: &mut AsyncPgConnection) -> Result<Option<User>> {
    let query = users::table
        .select(User::as_select())
        .filter(users::role.eq(PgRole(Role::Admin)))
        .filter(users::disabled_at.is_null())
        .order(users::id);
    Ok(query.first(connection).await.optional()?)
}

/// Accounts, newest first, at most `limit`, made before `before`.
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

/// Keeps every enabled admin from being changed until the transaction ends, and says how many there are beside `id`.
/// Two transactions that each take one of the last two admins away wait for each other here.
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

/// Changes an account. Disabling one that is disabled keeps the moment.
///
/// # Errors
/// [`Error::NotFound`], or when the database fails.
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

/// Stores another hash of the same password, with which the account's sessions go on.
pub async fn rehash(connection: &mut AsyncPgConnection, id: Uuid, password_hash: &str) -> Result<()> {
    security_events::keep_sessions_of(connection, id).await?;
    diesel::update(users::table.find(id))
        .set(users::password_hash.eq(password_hash))
        .execute(connection)
        .await?;
    Ok(())
}

/// The costs that the passwords of all accounts were hashed at, as in their PHC strings: `m=19456,t=2,p=1`.
pub async fn password_costs(connection: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let costs = sql::<Text>("split_part(password_hash, '$', 4)");
    Ok(users::table.select(costs).distinct().load(connection).await?)
}

/// Ends all access tokens of an account.
pub async fn end_tokens(connection: &mut AsyncPgConnection, id: Uuid) -> Result<()> {
    diesel::update(users::table.find(id))
        .set(users::token_version.eq(users::token_version + 1))
        .execute(connection)
        .await?;
    Ok(())
}
