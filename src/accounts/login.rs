//! Log-ins: a name and a password give a session.

use secrecy::SecretString;
use serde_json::json;
use slog::{info, warn};
use uuid::Uuid;

use super::guesses::{Failure, Guesser};
use super::password::Verified;
use super::{Accounts, Origin, TokenPair, refused};
use crate::domain::account::AccountName;
use crate::error::{Error, Result};
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::{self, Abort};
use crate::storage::users::{self, User};
use crate::storage::{login_addresses, refresh_tokens};

const BAD_LOGIN: &str = "There is no enabled account with this username and password.";

/// A password that was found to be good.
struct Proven {
    user_id: Uuid,
    /// The hash that it was compared with.
    hash: String,
    /// The hash to store instead.
    new_hash: Option<String>,
}

impl Accounts {
    /// Begins a session.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], whatever was wrong; [`Error::RateLimited`] after too many failures;
    /// [`Error::Overloaded`] when too many log in at once.
    pub async fn login(&self, username: &str, password: SecretString, origin: &Origin) -> Result<TokenPair> {
        let inner = &self.inner;
        let guesser = Guesser::new(username, origin.address());
        self.admit_login(username, guesser).await?;
        self.learn_password_costs().await?;
        let known = match AccountName::parse(username) {
            Some(name) => {
                let find = async |connection: &mut _| users::find_by_name(connection, name.as_str()).await;
                inner.database.run(find).await?
            }
            None => None,
        };
        let (user, hash) = known.unzip();
        let verified = inner.passwords.verify(password.clone(), hash.clone()).await?;
        let pair = match (&user, hash) {
            (Some(user), Some(hash)) if verified != Verified::Refused && user.is_enabled() => {
                let new_hash = match verified {
                    Verified::Outdated => Some(inner.passwords.hash(password).await?),
                    Verified::Good | Verified::Refused => None,
                };
                let proven = Proven { user_id: user.id, hash, new_hash };
                self.begin_session(&proven, origin).await?
            }
            _ => None,
        };
        match pair {
            Some(pair) => {
                inner.guesses.succeeded(guesser);
                Ok(pair)
            }
            None => {
                self.note_failure(user.as_ref(), guesser, origin).await;
                Err(refused(BAD_LOGIN))
            }
        }
    }

    /// Refuses an address after its own failures for this name; and after the failures of many addresses for it, every
    /// address from which the account has not logged in before.
    async fn admit_login(&self, username: &str, guesser: Guesser<'_>) -> Result<()> {
        let inner = &self.inner;
        inner.guesses.admit_address(guesser)?;
        let Err(refusal) = inner.guesses.admit_name(guesser) else { return Ok(()) };
        let digest = self.address_digest(guesser);
        let ask = async |connection: &mut _| login_addresses::is_known(connection, username, &digest).await;
        if inner.database.run(ask).await? { Ok(()) } else { Err(refusal) }
    }

    /// `None` when the account has been disabled or has got another password meanwhile.
    async fn begin_session(&self, proven: &Proven, origin: &Origin) -> Result<Option<TokenPair>> {
        let inner = &self.inner;
        let (fresh, family, now) = (self.fresh()?, inner.clock.new_uuid(), inner.clock.now());
        let user = transaction::run(&inner.database, &inner.logger, "begin_session", async |connection| {
            let (user, current_hash) = users::lock(connection, proven.user_id).await?;
            if !user.is_enabled() || current_hash != proven.hash {
                return Ok::<_, Abort>(None);
            }
            self.attribute(connection, origin).await?;
            if let Some(hash) = &proven.new_hash {
                users::rehash(connection, user.id, hash).await?;
            }
            refresh_tokens::insert(connection, &self.new_row(&fresh, family, user.id, now, now)).await?;
            if origin.address().is_some() {
                let digest = self.address_digest(Guesser::new(&user.username, origin.address()));
                login_addresses::remember(connection, user.id, &digest, now).await?;
            }
            let name = Some(user.username.as_str());
            security_events::record(connection, SecurityEvent::LoginSucceeded, name, name, json!({})).await?;
            Ok(Some(user))
        });
        let Some(user) = user.await? else { return Ok(None) };
        info!(inner.logger, "logged in"; "account" => &user.username);
        self.pair(&user, family, fresh.token, now).map(Some)
    }

    fn address_digest(&self, guesser: Guesser<'_>) -> [u8; 32] {
        let network = guesser.network().map_or_else(String::new, |network| network.to_string());
        self.inner.database.keys().keyed_hash("login-address", &[network.as_bytes()])
    }

    /// Counts a failed log-in, and records it unless very many fail. The name is recorded only when it is an account's:
    /// people type their passwords and e-mail addresses there.
    async fn note_failure(&self, user: Option<&User>, guesser: Guesser<'_>, origin: &Origin) {
        let inner = &self.inner;
        let failure = inner.guesses.failed(guesser);
        let subject = user.map(|user| user.username.as_str());
        if failure.is_alarming {
            warn!(inner.logger, "passwords of an account are guessed from many addresses";
                "account" => subject.unwrap_or("(unknown)"), "networks" => failure.networks);
        }
        if failure.is_recorded
            && let Err(error) = self.record_failure(subject, failure, origin).await
        {
            warn!(inner.logger, "a failed log-in was not recorded"; error);
        }
    }

    async fn record_failure(&self, subject: Option<&str>, failure: Failure, origin: &Origin) -> Result<()> {
        let inner = &self.inner;
        let detail = json!({ "attempts": failure.attempts, "unrecorded": failure.unrecorded });
        transaction::run(&inner.database, &inner.logger, "record_failure", async |connection| {
            self.attribute(connection, origin).await?;
            let event = SecurityEvent::LoginFailed;
            security_events::record(connection, event, None, subject, detail.clone()).await?;
            Ok::<_, Abort>(())
        })
        .await
    }

    /// Learns once at what costs the stored passwords were hashed, because a refusal takes as long as the most expensive
    /// of them: otherwise its time would tell which accounts have a hash of older costs.
    async fn learn_password_costs(&self) -> Result<()> {
        let inner = &self.inner;
        let learn = async || {
            let costs =
                inner.database.run(async |connection| users::password_costs(connection).await).await?;
            inner.passwords.expect_costs(&costs);
            Ok::<_, Error>(())
        };
        inner.password_costs.get_or_try_init(learn).await?;
        Ok(())
    }
}
