//! User accounts, which admins and operators create, change and list.

use diesel_async::AsyncPgConnection;
use secrecy::SecretString;
use serde_json::json;
use slog::info;
use uuid::Uuid;

use super::{Accounts, ChangeOrigin, secret};
use crate::domain::account::{AccountName, Role};
use crate::domain::personal_data::{Email, FullName};
use crate::error::{Error, PublicMessage, Result};
use crate::storage::account_contacts::{self, Contact};
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::{self, Abort};
use crate::storage::users::{self, ListedUser, NewUser, User, UserChange};

/// The name of the admin that the first start creates.
const FIRST_ADMIN: &str = "admin";
/// The creator that is recorded for this admin.
const FIRST_START: &str = "system:first-start";

/// An account to create.
#[derive(Debug)]
pub struct NewAccount {
    /// The name, which cannot be changed later.
    pub name: AccountName,
    pub password: SecretString,
    pub role: Role,
    pub contact: Contact,
}

/// An account with the contact of its person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub user: ListedUser,
    pub contact: Contact,
}

/// An account to insert.
struct PreparedUser {
    accounts: Accounts,
    origin: ChangeOrigin,
    id: Uuid,
    name: AccountName,
    password_hash: String,
    role: Role,
    contact: Contact,
}

impl PreparedUser {
    /// Inserts the account.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the name or the e-mail address is taken; the errors of [`Accounts::begin_change`].
    async fn insert(&self, connection: &mut AsyncPgConnection) -> Result<Account> {
        self.accounts.begin_change(connection, &self.origin).await?;
        let new = NewUser {
            id: self.id,
            username: self.name.as_str(),
            password_hash: &self.password_hash,
            role: self.role,
            created_by: self.origin.by(),
        };
        let taken = || Error::Conflict(PublicMessage::new("An account with this username already exists."));
        let user = users::insert(connection, &new).await?.ok_or_else(taken)?;
        if self.contact != Contact::default() {
            self.accounts.replace_contact(connection, user.id, &self.contact).await?;
        }
        Ok(Account { user: user.into(), contact: self.contact.clone() })
    }

    fn log(&self, account: &Account) {
        let (logger, id) = (&self.accounts.inner.logger, account.user.id);
        info!(logger, "account created"; "user_id" => %id, "role" => self.role.as_str());
    }
}

/// Changes to an account. `None` leaves a value unchanged.
#[derive(Debug, Default)]
pub struct UserPatch {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub password: Option<SecretString>,
    /// `Some(None)` removes the name.
    pub name: Option<Option<FullName>>,
    /// `Some(None)` removes the address.
    pub email: Option<Option<Email>>,
}

impl UserPatch {
    /// The contact after the change; `None` if it stays the same.
    fn contact(&self, before: &Contact) -> Option<Contact> {
        let after = Contact {
            name: self.name.clone().unwrap_or_else(|| before.name.clone()),
            email: self.email.clone().unwrap_or_else(|| before.email.clone()),
        };
        (after != *before).then_some(after)
    }
}

impl Accounts {
    /// Creates an account.
    ///
    /// # Errors
    /// [`Error::Validation`] if the password is not acceptable; [`Error::Conflict`] if the name or the e-mail address is
    /// taken.
    pub async fn add_user(&self, account: NewAccount, origin: &ChangeOrigin) -> Result<Account> {
        let inner = &self.inner;
        let prepared = self.prepare_user(account, origin).await?;
        let made = transaction::run(&inner.database, &inner.logger, "add_user", async |connection| {
            prepared.insert(connection).await.map_err(Abort::from)
        });
        let account = made.await?;
        prepared.log(&account);
        Ok(account)
    }

    /// Creates an account, at most once per idempotency key.
    ///
    /// # Errors
    /// The errors of [`Accounts::add_user`] and [`idempotency::once`].
    pub async fn create_user(
        &self,
        account: NewAccount,
        origin: &ChangeOrigin,
        keyed: Option<&Keyed<'_, Account>>,
    ) -> Result<Once<Account>> {
        let inner = &self.inner;
        let prepared = self.prepare_user(account, origin).await?;
        let work = async |connection: &mut AsyncPgConnection| Ok(prepared.insert(connection).await?);
        let made = idempotency::once(&inner.database, &inner.logger, "create_user", keyed, work).await?;
        if let Once::Made(account) = &made {
            prepared.log(account);
        }
        Ok(made)
    }

    /// Checks and hashes the password of a new account, which is slow. The transaction then only inserts one row.
    async fn prepare_user(&self, account: NewAccount, origin: &ChangeOrigin) -> Result<PreparedUser> {
        let NewAccount { name, password, role, contact } = account;
        self.inner.passwords.accept("/password", &password, &name).await?;
        let password_hash = self.inner.passwords.hash(password).await?;
        let (accounts, origin) = (self.clone(), origin.clone());
        let id = self.inner.clock.new_uuid();
        Ok(PreparedUser { accounts, origin, id, name, password_hash, role, contact })
    }

    /// Changes an account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Validation`] if the password is not acceptable; [`Error::Forbidden`] for the
    /// actor's own password, which requires the current one ([`Accounts::change_own_password`]); [`Error::Conflict`] if
    /// no enabled admin would remain or another account has the e-mail address; the errors of
    /// [`Accounts::begin_change`].
    pub async fn change_user(&self, id: Uuid, patch: UserPatch, origin: &ChangeOrigin) -> Result<Account> {
        let inner = &self.inner;
        if patch.password.is_some() && origin.person() == Some(id) {
            let text =
                "Change your own password with POST /api/v1/auth/password, which requires the current one.";
            return Err(Error::Forbidden(PublicMessage::new(text)));
        }
        let password_hash = match &patch.password {
            Some(password) => {
                let user = self.user(id).await?.user;
                let name = AccountName::parse(&user.username).ok_or(Error::NotFound("account"))?;
                inner.passwords.accept("/password", password, &name).await?;
                Some(inner.passwords.hash(password.clone()).await?)
            }
            None => None,
        };
        let change = UserChange { role: patch.role, disabled: patch.disabled, password_hash };
        let now = inner.clock.now();
        let account = transaction::run(&inner.database, &inner.logger, "change_user", async |connection| {
            // Locked before the account: two transactions that each remove an admin wait here instead of deadlocking.
            let others = users::lock_other_admins(connection, id).await?;
            self.begin_change(connection, origin).await?;
            let before = users::lock_listed(connection, id).await?;
            let role = before.role.0.known();
            let remains_admin =
                change.role.or(role) == Some(Role::Admin) && !change.disabled.unwrap_or(!before.is_enabled());
            if role == Some(Role::Admin) && before.is_enabled() && !remains_admin && others == 0 {
                let text = "This is the last enabled admin. Enable or create another one first.";
                return Err(Abort::from(Error::Conflict(PublicMessage::new(text))));
            }
            let user = users::update(connection, &before, &change, now).await?;
            let mut contact = self.contact_of(connection, id).await?;
            if let Some(changed) = patch.contact(&contact) {
                self.replace_contact(connection, id, &changed).await?;
                let event = SecurityEvent::ContactChanged;
                security_events::record(connection, event, None, Some(&user.username), json!({})).await?;
                contact = changed;
            }
            Ok(Account { user, contact })
        });
        let account = account.await?;
        let user = &account.user;
        self.forget();
        info!(inner.logger, "account changed"; "user_id" => %user.id, "role" => user.role_name(),
            "enabled" => user.is_enabled(), "password_changed" => change.password_hash.is_some());
        Ok(account)
    }

    async fn contact_of(&self, connection: &mut AsyncPgConnection, id: Uuid) -> Result<Contact> {
        let mut contacts = account_contacts::of(connection, self.inner.database.keys(), &[id]).await?;
        Ok(contacts.remove(&id).unwrap_or_default())
    }

    /// # Errors
    /// [`Error::Conflict`] if another account has the e-mail address.
    async fn replace_contact(
        &self,
        connection: &mut AsyncPgConnection,
        id: Uuid,
        contact: &Contact,
    ) -> Result<()> {
        let keys = self.inner.database.keys();
        if account_contacts::replace(connection, keys, id, contact).await? {
            return Ok(());
        }
        Err(Error::Conflict(PublicMessage::new("An account with this e-mail address already exists.")))
    }

    /// Gets an account.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn user(&self, id: Uuid) -> Result<Account> {
        let connection = &mut *self.inner.database.get().await?;
        let user = users::get_listed(connection, id).await?;
        let contact = self.contact_of(connection, id).await?;
        Ok(Account { user, contact })
    }

    /// Gets an account by its name.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn user_named(&self, name: &str) -> Result<User> {
        let found = users::find_by_name(&mut *self.inner.database.get().await?, name).await?;
        Ok(found.ok_or(Error::NotFound("account"))?.0)
    }

    /// Up to `limit` accounts created before the account `before`, newest first.
    pub async fn users(&self, before: Option<Uuid>, limit: i64) -> Result<Vec<Account>> {
        let database = &self.inner.database;
        let connection = &mut *database.get().await?;
        let users = users::list_page(connection, before, limit).await?;
        let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
        let mut contacts = account_contacts::of(connection, database.keys(), &ids).await?;
        let with_contact = |user: ListedUser| {
            let contact = contacts.remove(&user.id).unwrap_or_default();
            Account { user, contact }
        };
        Ok(users.into_iter().map(with_contact).collect())
    }

    /// A random name without personal data.
    pub fn generate_name(&self) -> Result<AccountName> {
        let (_, random) = self.inner.clock.new_uuid().as_u64_pair();
        let name = AccountName::parse(&format!("user-{random:016x}"));
        name.ok_or_else(|| Error::internal("the generated name is not valid"))
    }

    /// A random password.
    pub fn generate_password(&self) -> SecretString {
        secret::generate(&self.inner.clock)
    }

    /// Creates the first account, an admin with a random password, if there is no account. If several instances start
    /// together, only one creates it. Returns the name and the password, which is not stored.
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
        let made = transaction::run(&inner.database, &inner.logger, "make_first_admin", async |connection| {
            self.begin_change(connection, &ChangeOrigin::system(FIRST_START)).await?;
            users::insert(connection, &new).await.map_err(Abort::from)
        });
        Ok(made.await?.map(|_| (FIRST_ADMIN, password)))
    }
}
