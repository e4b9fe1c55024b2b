//! People's accounts: made, changed and listed by admins and operators.

use diesel_async::AsyncPgConnection;
use secrecy::SecretString;
use slog::info;
use uuid::Uuid;

use super::{Accounts, password, secret};
use crate::domain::account::{AccountName, Role};
use crate::error::{Error, PublicMessage, Result};
use crate::storage::transaction::{self, Abort};
use crate::storage::users::{self, NewUser, User, UserChange};

/// The name of the account that a first start makes.
const FIRST_ADMIN: &str = "admin";
/// Who makes it, in its row.
const FIRST_START: &str = "system:first-start";

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// How it is called, for ever.
    pub name: AccountName,
    /// Its password.
    pub password: SecretString,
    /// What it may do.
    pub role: Role,
}

/// An account that is ready to be inserted.
pub struct PreparedUser {
    id: Uuid,
    name: AccountName,
    password_hash: String,
    role: Role,
    by: String,
}

impl PreparedUser {
    /// Inserts it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken, or when the database fails.
    pub async fn insert(&self, connection: &mut AsyncPgConnection) -> Result<User> {
        let new = NewUser {
            id: self.id,
            username: self.name.as_str(),
            password_hash: &self.password_hash,
            role: self.role,
            created_by: &self.by,
        };
        let taken = || Error::Conflict(PublicMessage::new("There is an account with this username."));
        users::insert(connection, &new).await?.ok_or_else(taken)
    }
}

/// What is to change; nothing of what is `None`.
#[derive(Debug, Default)]
pub struct UserPatch {
    /// Another role.
    pub role: Option<Role>,
    /// Whether it may not log in.
    pub disabled: Option<bool>,
    /// Another password.
    pub password: Option<SecretString>,
}

impl Accounts {
    /// Makes an account.
    ///
    /// # Errors
    /// [`Error::Validation`] when the password is not acceptable; [`Error::Conflict`] when the name is taken.
    pub async fn add_user(&self, account: NewAccount, by: &str) -> Result<User> {
        let prepared = self.prepare_user(account, by).await?;
        let user = prepared.insert(&mut *self.inner.database.get().await?).await?;
        self.tell_of_user(&prepared);
        Ok(user)
    }

    /// Does everything for an account that takes time: what is left is one row, which the caller's transaction may hold.
    ///
    /// # Errors
    /// [`Error::Validation`] when the password is not acceptable.
    pub async fn prepare_user(&self, account: NewAccount, by: &str) -> Result<PreparedUser> {
        let NewAccount { name, password, role } = account;
        accept(&password, &name)?;
        let password_hash = self.inner.passwords.hash(password).await?;
        Ok(PreparedUser { id: self.inner.clock.new_uuid(), name, password_hash, role, by: by.to_owned() })
    }

    /// Logs an account that was made.
    pub fn tell_of_user(&self, made: &PreparedUser) {
        let (account, role) = (made.name.as_str(), made.role.as_str());
        info!(self.inner.logger, "account made"; "account" => account, "role" => role, "by" => &made.by);
    }

    /// Changes an account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Validation`] when the password is not acceptable; [`Error::Conflict`] when nobody
    /// would be left who may make accounts.
    pub async fn change_user(&self, id: Uuid, patch: UserPatch, by: &str) -> Result<User> {
        let inner = &self.inner;
        let password_hash = match patch.password {
            Some(password) => {
                let user = self.user(id).await?;
                let name = AccountName::parse(&user.username).ok_or(Error::NotFound("account"))?;
                accept(&password, &name)?;
                Some(inner.passwords.hash(password).await?)
            }
            None => None,
        };
        let change = UserChange { role: patch.role, disabled: patch.disabled, password_hash };
        let now = inner.clock.now();
        let user = transaction::run(&inner.database, &inner.logger, "change_user", async |connection| {
            // Before the account's own lock: two transactions that each take an admin away meet here and not in a deadlock.
            let others = users::lock_other_admins(connection, id).await?;
            let (before, _) = users::lock(connection, id).await?;
            let stays = change.role.unwrap_or(before.role) == Role::Admin
                && !change.disabled.unwrap_or(!before.is_enabled());
            if before.role == Role::Admin && before.is_enabled() && !stays && others == 0 {
                let text = "This is the last enabled admin: nobody could make another.";
                return Err(Abort::from(Error::Conflict(PublicMessage::new(text))));
            }
            Ok(users::update(connection, &before, &change, now).await?)
        });
        let user = user.await?;
        self.forget();
        info!(inner.logger, "account changed"; "account" => &user.username, "role" => user.role.as_str(),
            "enabled" => user.is_enabled(), "password_changed" => change.password_hash.is_some(), "by" => by);
        Ok(user)
    }

    /// An account.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn user(&self, id: Uuid) -> Result<User> {
        users::get(&mut *self.inner.database.get().await?, id).await
    }

    /// An account by its name.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn user_named(&self, name: &str) -> Result<User> {
        let found = users::find_by_name(&mut *self.inner.database.get().await?, name).await?;
        Ok(found.ok_or(Error::NotFound("account"))?.0)
    }

    /// Accounts, newest first, at most `limit`, made before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&self, before: Option<Uuid>, limit: i64) -> Result<Vec<User>> {
        users::list_page(&mut *self.inner.database.get().await?, before, limit).await
    }

    /// A password that nobody chose.
    pub fn generate_password(&self) -> SecretString {
        secret::generate(&self.inner.clock)
    }

    /// Makes the first account, an admin with a random password, where there is none; of several instances that start
    /// at once, one does. Gives the name and the password, which stands nowhere else.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn make_first_admin(&self) -> Result<Option<(&'static str, SecretString)>> {
        let inner = &self.inner;
        if users::any(&mut *inner.database.get().await?).await? {
            return Ok(None);
        }
        let password = self.generate_password();
        let hash = inner.passwords.hash(password.clone()).await?;
        let new = NewUser {
            id: inner.clock.new_uuid(),
            username: FIRST_ADMIN,
            password_hash: &hash,
            role: Role::Admin,
            created_by: FIRST_START,
        };
        let made = users::insert(&mut *inner.database.get().await?, &new).await?;
        Ok(made.map(|_| (FIRST_ADMIN, password)))
    }
}

fn accept(password: &SecretString, name: &AccountName) -> Result<()> {
    password::check(password, name)
        .map_err(|problem| Error::field("/password", problem.code(), problem.detail()))
}
