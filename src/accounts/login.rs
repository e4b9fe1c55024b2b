//! Sign-in with a username and a password.

use secrecy::SecretString;
use serde_json::json;
use slog::{info, warn};
use uuid::Uuid;

use super::guesses::{Failure, SignIn};
use super::password::Verification;
use super::{Accounts, ChangeOrigin, TokenPair, refused};
use crate::domain::account::AccountName;
use crate::error::{Error, Result};
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::{self, Abort};
use crate::storage::users::{self, User};
use crate::storage::{login_addresses, refresh_tokens};

const BAD_LOGIN: &str = "No enabled account has this username and password.";

/// A verified password.
struct VerifiedPassword {
    user_id: Uuid,
    /// The hash that the password was compared with.
    hash: String,
    /// The hash that replaces it, if its costs are outdated.
    new_hash: Option<String>,
}

impl Accounts {
    /// Begins a session.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a wrong username or password or a disabled account; [`Error::RateLimited`] after
    /// too many failures; [`Error::Overloaded`] during too many concurrent sign-ins.
    pub async fn login(
        &self,
        username: &str,
        password: SecretString,
        origin: &ChangeOrigin,
    ) -> Result<TokenPair> {
        let inner = &self.inner;
        let sign_in = SignIn::new(username, origin.address());
        self.admit_login(username, sign_in).await?;
        self.load_password_costs().await?;
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
            (Some(user), Some(hash)) if verified != Verification::Wrong && user.is_enabled() => {
                let new_hash = match verified {
                    Verification::Outdated => Some(inner.passwords.hash(password).await?),
                    Verification::Correct | Verification::Wrong => None,
                };
                let verified_password = VerifiedPassword { user_id: user.id, hash, new_hash };
                self.begin_session(&verified_password, origin).await?
            }
            _ => None,
        };
        match pair {
            Some(pair) => {
                inner.guesses.succeeded(sign_in);
                Ok(pair)
            }
            None => {
                self.count_failure(user.as_ref(), sign_in, origin).await;
                Err(refused(BAD_LOGIN))
            }
        }
    }

    /// Rejects an address after its own failures for this name. After failures from many addresses for the name, also
    /// rejects addresses from which the account has never signed in.
    async fn admit_login(&self, username: &str, sign_in: SignIn<'_>) -> Result<()> {
        let inner = &self.inner;
        inner.guesses.admit_address(sign_in)?;
        let Err(refusal) = inner.guesses.admit_name(sign_in) else { return Ok(()) };
        let digest = self.address_digest(sign_in);
        let find = async |connection: &mut _| login_addresses::is_known(connection, username, &digest).await;
        if inner.database.run(find).await? { Ok(()) } else { Err(refusal) }
    }

    /// Returns `None` if the account was disabled or its password changed meanwhile.
    async fn begin_session(
        &self,
        verified_password: &VerifiedPassword,
        origin: &ChangeOrigin,
    ) -> Result<Option<TokenPair>> {
        let inner = &self.inner;
        let (fresh, family, now) =
            (self.generate_refresh_token(origin)?, inner.clock.new_uuid(), inner.clock.now());
        let user = transaction::run(&inner.database, &inner.logger, "begin_session", async |connection| {
            let (user, current_hash) = users::lock(connection, verified_password.user_id).await?;
            if !user.is_enabled() || current_hash != verified_password.hash {
                return Ok::<_, Abort>(None);
            }
            self.attribute(connection, origin).await?;
            if let Some(hash) = &verified_password.new_hash {
                users::rehash(connection, user.id, hash).await?;
            }
            refresh_tokens::insert(connection, &self.new_row(&fresh, family, user.id, now, now)).await?;
            if origin.address().is_some() {
                let digest = self.address_digest(SignIn::new(&user.username, origin.address()));
                login_addresses::record(connection, user.id, &digest, now).await?;
            }
            let name = Some(user.username.as_str());
            security_events::record(connection, SecurityEvent::LoginSucceeded, name, name, json!({})).await?;
            Ok(Some(user))
        });
        let Some(user) = user.await? else { return Ok(None) };
        info!(inner.logger, "signed in"; "account" => %user.id);
        self.pair(&user, family, fresh.token, now).map(Some)
    }

    fn address_digest(&self, sign_in: SignIn<'_>) -> [u8; 32] {
        let network = sign_in.network().map_or_else(String::new, |network| network.to_string());
        self.inner.database.keys().keyed_hash("login-address", &[network.as_bytes()])
    }

    /// Counts a failed sign-in, and records it unless there are too many. The name is recorded only if it belongs to an
    /// account, because people mistakenly type passwords and e-mail addresses there.
    async fn count_failure(&self, user: Option<&User>, sign_in: SignIn<'_>, origin: &ChangeOrigin) {
        let inner = &self.inner;
        let failure = inner.guesses.failed(sign_in);
        let subject = user.map(|user| user.username.as_str());
        if failure.is_alarming {
            warn!(inner.logger, "password guessing from many addresses";
                "account" => user.map(|user| user.id.to_string()), "networks" => failure.networks);
        }
        if failure.is_recorded
            && let Err(error) = self.record_failure(subject, failure, origin).await
        {
            warn!(inner.logger, "cannot record a failed sign-in"; error);
        }
    }

    async fn record_failure(
        &self,
        subject: Option<&str>,
        failure: Failure,
        origin: &ChangeOrigin,
    ) -> Result<()> {
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

    /// Loads the costs of the stored password hashes once. A rejection takes as long as the most expensive hash;
    /// otherwise its duration would reveal which accounts have an older hash.
    async fn load_password_costs(&self) -> Result<()> {
        let inner = &self.inner;
        let load = async || {
            let costs =
                inner.database.run(async |connection| users::password_costs(connection).await).await?;
            inner.passwords.add_known_costs(&costs);
            Ok::<_, Error>(())
        };
        inner.password_costs.get_or_try_init(load).await?;
        Ok(())
    }
}
