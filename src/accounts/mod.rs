//! Authentication: passwords, access and refresh tokens, API keys and WebSocket tickets.
//!
//! There are two kinds of account. A user signs in with a password and gets a short-lived access token and a refresh token
//! that renews it. Both belong to a *session*. A machine client sends an API key with each request and acts as the account
//! `key:<name>`. Both result in a [`Principal`]; outside this module, the kind only matters for scopes.
//!
//! A token only proves the caller's identity. On each request, the account's status, role and token version
//! (`token_version`) are looked up in memory ([`directory`]). Therefore:
//!
//! | event | access tokens | refresh tokens |
//! |---|---|---|
//! | sign-out, session ended by the account | all tokens of the account end immediately | the tokens of the session end |
//! | sign-out everywhere, sessions ended by an admin | end immediately | all tokens of the account end |
//! | role changed, account enabled | end immediately | stay valid and return tokens with the new role |
//! | account disabled, password changed | end immediately | all tokens of the account end |
//! | refresh token reused after its grace period | end immediately | the tokens of its session end |
//! | `accounts.session_days` after the sign-in | end | end |
//!
//! Responses do not reveal whether an account exists: an unknown name, a disabled account and a wrong password cause
//! the same work and get the same response.
//!
//! Every change to an account or key verifies the actor again under a lock ([`origin`]) and is recorded as a security
//! event in the same transaction.

mod access_token;
mod api_keys;
mod directory;
pub mod events;
mod guesses;
mod login;
mod open_sessions;
mod origin;
mod own_password;
mod password;
mod principal;
mod saved_views;
mod secret;
mod security_events;
mod sessions;
mod settings;
mod signature;
mod tickets;
mod users;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use slog::Logger;
use tokio::sync::OnceCell;

pub use self::api_keys::{CreatedKey, NewKey};
pub use self::open_sessions::OpenSession;
pub use self::origin::ChangeOrigin;
pub use self::password::{PasswordProblem, check as check_password, check_length as check_password_length};
pub use self::principal::{Credential, Principal};
pub use self::saved_views::{Saved, SavedView, ViewPage, ViewToSave};
pub use self::security_events::{EventFilter, RecordedEvent};
pub use self::sessions::TokenPair;
pub use self::settings::{Language, OwnSettings, Theme};
pub use self::users::{Account, NewAccount, UserPatch};
pub use crate::storage::account_contacts::Contact;
pub use crate::storage::api_keys::ApiKey;
pub use crate::storage::users::{ListedUser, User};

use self::access_token::AccessTokens;
use self::directory::Directory;
use self::guesses::FailedSignIns;
use self::password::Passwords;
use crate::clock::Clock;
use crate::config::AccountSettings;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::Database;

/// The entry point to all operations on accounts. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    settings: AccountSettings,
    clock: Clock,
    logger: Logger,
    passwords: Passwords,
    /// Set once the costs of the stored password hashes are loaded.
    password_costs: OnceCell<()>,
    guesses: FailedSignIns,
    tokens: AccessTokens,
    directory: Directory,
}

impl Accounts {
    /// Accounts in `database`. `jwt_secret` signs their tokens if no signing key is configured.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the signing key or the password costs are invalid.
    pub fn new(
        database: Database,
        settings: &AccountSettings,
        jwt_secret: &SecretString,
        clock: Clock,
        logger: Logger,
    ) -> Result<Self> {
        let inner = Inner {
            passwords: Passwords::new(&settings.passwords, clock.clone())?,
            password_costs: OnceCell::new(),
            guesses: FailedSignIns::new(settings.guessing, clock.clone()),
            tokens: AccessTokens::new(settings, jwt_secret, clock.clone())?,
            directory: Directory::new(
                database.clone(),
                clock.clone(),
                Duration::from_millis(settings.cache_ttl_ms),
                settings.cache_capacity,
            ),
            settings: settings.clone(),
            database,
            clock,
            logger,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Invalidates all cached accounts and keys.
    pub fn forget(&self) {
        self.inner.directory.forget();
    }

    /// Sets whether notifications of other instances' changes are received. While they are not, every request queries
    /// the database.
    pub fn set_listening(&self, listening: bool) {
        self.inner.directory.set_listening(listening);
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// The same error for every rejected sign-in.
fn refused(text: &'static str) -> Error {
    Error::Unauthenticated(PublicMessage::new(text))
}
