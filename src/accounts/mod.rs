//! Who may come in: passwords, access and refresh tokens, API keys, WebSocket tickets.
//!
//! Two kinds of account exist. A person logs in with a password and gets a short access token and a refresh token that
//! renews it; both descend from that login, which is a *session*. A machine client sends an API key with each request and
//! acts as the account `key:<name>`. Either way a [`Principal`] comes out, and nothing beyond this room knows which way it
//! was, but for scopes.
//!
//! What a token says is proof of who asks and of nothing else: whether that account is enabled, what its role is and
//! whether its tokens have been ended since (`token_version`) is looked up at each request, from memory
//! ([`directory`]). So:
//!
//! | what happens | access tokens | refresh tokens |
//! |---|---|---|
//! | logout | every one of the account ends at once | those of this session end |
//! | another role, enabled again | end at once | stay: they give tokens with the new role |
//! | disabled, another password | end at once | every one of the account ends |
//! | a refresh token is used again after the grace | end at once | those of its session end |
//! | `accounts.session_days` after the log-in | end | end |
//!
//! Whether an account exists cannot be learned: a log-in with an unknown name, a disabled account and a wrong password
//! takes the same work and gets the same answer.
//!
//! Each change of an account or a key looks again at who makes it, under lock ([`origin`]), and is recorded as a security
//! event in the same transaction.

mod access_token;
mod api_keys;
mod directory;
pub mod events;
mod guesses;
mod login;
mod origin;
mod own_password;
mod password;
mod principal;
mod secret;
mod sessions;
mod signature;
mod tickets;
mod users;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use slog::Logger;
use tokio::sync::OnceCell;

pub use self::api_keys::{MintedKey, NewKey};
pub use self::origin::Origin;
pub use self::password::{PasswordProblem, check as check_password, check_length as check_password_length};
pub use self::principal::{Credential, Principal};
pub use self::sessions::TokenPair;
pub use self::users::{NewAccount, PreparedUser, UserPatch};

use self::access_token::AccessTokens;
use self::directory::Directory;
use self::guesses::Guesses;
use self::password::Passwords;
use crate::clock::Clock;
use crate::config::AccountSettings;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::Database;

/// Accounts, as the rest of Aval asks about them. Cheap to clone.
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
    /// Filled once the costs of the stored passwords are known.
    password_costs: OnceCell<()>,
    guesses: Guesses,
    tokens: AccessTokens,
    directory: Directory,
}

impl Accounts {
    /// Accounts in `database`; `jwt_secret` signs their tokens, where no key is configured.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the signing key or the costs of passwords cannot be used.
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
            guesses: Guesses::new(settings.guessing, clock.clone()),
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

    /// Some account or key has changed: what is remembered of them is not used any more.
    pub fn forget(&self) {
        self.inner.directory.forget();
    }

    /// Whether changes that other instances make are heard of. Until they are, every request asks the database.
    pub fn set_listening(&self, listening: bool) {
        self.inner.directory.set_listening(listening);
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// The one answer to every log-in that is refused.
fn refused(text: &'static str) -> Error {
    Error::Unauthenticated(PublicMessage::new(text))
}
