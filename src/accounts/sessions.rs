//! Sessions of people: login, refresh, logout, and the tokens they live by.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use slog::{info, warn};
use uuid::Uuid;

use super::principal::{Credential, Principal};
use super::{Accounts, password, refused, secret};
use crate::domain::account::AccountName;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::refresh_tokens::{self, NewRefreshToken};
use crate::storage::transaction::{self, Abort};
use crate::storage::users::{self, User, UserChange};

const BAD_TOKEN: &str = "The access token is not good, or not any more.";
const BAD_LOGIN: &str = "There is no enabled account with this username and password.";
const BAD_REFRESH: &str = "The refresh token is not good, or not any more: log in again.";

/// What a session gives its client.
#[derive(Debug)]
pub struct TokenPair {
    /// For the `Authorization` header.
    pub access_token: SecretString,
    /// How long it is good.
    pub access_ttl: Duration,
    /// For one refresh.
    pub refresh_token: SecretString,
    /// How long it is good.
    pub refresh_ttl: Duration,
}

/// What became of a refresh token.
enum Refreshed {
    Renewed(User, Uuid),
    Refused,
    /// It was used before: somebody has a copy.
    Stolen(User),
}

/// A refresh token that is about to be stored.
struct Fresh {
    id: Uuid,
    token: SecretString,
    digest: [u8; secret::BYTES],
}

impl Accounts {
    /// Who sent an access token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for one that is not good, or when the database fails.
    pub async fn authenticate_token(&self, token: &str) -> Result<Principal> {
        let claims = self.inner.tokens.verify(token).ok_or_else(|| refused(BAD_TOKEN))?;
        let credential =
            Credential::Token { user_id: claims.sub, token_version: claims.ver, session: claims.sid };
        self.live_person(credential, Some(claims.expires_at())).await?.ok_or_else(|| refused(BAD_TOKEN))
    }

    /// The person behind a credential as it is now; `None` when it is not good any more, and for keys.
    pub(super) async fn live_person(
        &self,
        credential: Credential,
        valid_until: Option<DateTime<Utc>>,
    ) -> Result<Option<Principal>> {
        let Credential::Token { user_id, token_version, .. } = credential else { return Ok(None) };
        let user = self.inner.directory.user(user_id).await?;
        let user = user.filter(|user| user.is_enabled() && user.token_version == token_version);
        Ok(user.map(|user| Principal {
            account: user.username.clone(),
            role: user.role,
            credential,
            valid_until,
        }))
    }

    /// Whether what a principal proved itself with is still good, and gives it the same role.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_still_good(&self, principal: &Principal) -> Result<bool> {
        let now = self.inner.clock.now();
        if principal.valid_until.is_some_and(|until| now >= until) {
            return Ok(false);
        }
        let live = match principal.credential.clone() {
            token @ Credential::Token { .. } => self.live_person(token, principal.valid_until).await?,
            Credential::ApiKey { key_id, .. } => self.live_key(key_id).await?,
        };
        Ok(live.is_some_and(|live| live.role == principal.role && live.credential == principal.credential))
    }

    /// Begins a session.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], whatever was wrong; [`Error::Overloaded`] when too many log in at once.
    pub async fn login(&self, username: &str, password: SecretString) -> Result<TokenPair> {
        let inner = &self.inner;
        let known = match AccountName::parse(username) {
            Some(name) => users::find_by_name(&mut *inner.database.get().await?, name.as_str()).await?,
            None => None,
        };
        let (user, hash) = known.unzip();
        let proven = inner.passwords.verify(password, hash.clone()).await?;
        match (user, hash) {
            (Some(user), Some(hash)) if proven && user.is_enabled() => {
                self.begin_session(user.id, &hash).await?.ok_or_else(|| refused(BAD_LOGIN))
            }
            _ => Err(refused(BAD_LOGIN)),
        }
    }

    /// `None` when the account has been disabled or has got another password meanwhile.
    async fn begin_session(&self, user_id: Uuid, hash: &str) -> Result<Option<TokenPair>> {
        let inner = &self.inner;
        let (fresh, family, now) = (self.fresh()?, inner.clock.new_uuid(), inner.clock.now());
        let user = transaction::run(&inner.database, &inner.logger, "begin_session", async |connection| {
            let (user, current_hash) = users::lock(connection, user_id).await?;
            if !user.is_enabled() || current_hash != hash {
                return Ok::<_, Abort>(None);
            }
            refresh_tokens::insert(connection, &self.new_row(&fresh, family, user_id, now)).await?;
            Ok(Some(user))
        });
        let Some(user) = user.await? else { return Ok(None) };
        info!(inner.logger, "logged in"; "account" => &user.username);
        self.pair(&user, family, fresh.token).map(Some)
    }

    /// Renews a session. The token is worthless from now on, but for a moment in which it may come again: two tabs of a
    /// browser refresh at once, and an answer may be lost on its way.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], whatever was wrong.
    pub async fn refresh(&self, token: &str) -> Result<TokenPair> {
        let inner = &self.inner;
        let digest = secret::digest(token).ok_or_else(|| refused(BAD_REFRESH))?;
        let (fresh, now) = (self.fresh()?, inner.clock.now());
        let refreshed = transaction::run(&inner.database, &inner.logger, "refresh", async |connection| {
            let Some(known) = refresh_tokens::find(connection, &digest).await? else {
                return Ok::<_, Abort>(Refreshed::Refused);
            };
            // The account's lock comes first wherever tokens change, so that a family that is being ended gets no new
            // member; the token is read again under it.
            let (user, _) = users::lock(connection, known.user_id).await?;
            let Some(token) = refresh_tokens::find(connection, &digest).await? else {
                return Ok(Refreshed::Refused);
            };
            if token.revoked_at.is_some() || now >= token.expires_at || !user.is_enabled() {
                return Ok(Refreshed::Refused);
            }
            if token.rotated_at.is_some_and(|at| now - at > span(inner.settings.refresh_grace())) {
                refresh_tokens::revoke_family(connection, token.family, now).await?;
                users::end_tokens(connection, user.id).await?;
                return Ok(Refreshed::Stolen(user));
            }
            refresh_tokens::insert(connection, &self.new_row(&fresh, token.family, user.id, now)).await?;
            if token.rotated_at.is_none() {
                refresh_tokens::rotate(connection, token.id, fresh.id, now).await?;
            }
            Ok(Refreshed::Renewed(user, token.family))
        });
        match refreshed.await? {
            Refreshed::Renewed(user, family) => self.pair(&user, family, fresh.token),
            Refreshed::Refused => Err(refused(BAD_REFRESH)),
            Refreshed::Stolen(user) => {
                self.forget();
                warn!(inner.logger, "a refresh token was used twice; its session is ended"; "account" => user.username);
                Err(refused(BAD_REFRESH))
            }
        }
    }

    /// Ends a person's session, and at once every access token of the account. Other sessions of the account renew theirs
    /// with their own refresh tokens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn logout(&self, principal: &Principal) -> Result<()> {
        let inner = &self.inner;
        let Credential::Token { user_id, session, .. } = principal.credential else { return Ok(()) };
        let now = inner.clock.now();
        transaction::run(&inner.database, &inner.logger, "logout", async |connection| {
            users::lock(connection, user_id).await?;
            if let Some(family) = session {
                refresh_tokens::revoke_family(connection, family, now).await?;
            }
            Ok::<_, Abort>(users::end_tokens(connection, user_id).await?)
        })
        .await?;
        self.forget();
        info!(inner.logger, "logged out"; "account" => &principal.account);
        Ok(())
    }

    /// Changes a person's own password, ends every session and begins a new one.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when `current` is not the password; [`Error::Validation`] when `new` is not acceptable.
    pub async fn change_own_password(
        &self,
        principal: &Principal,
        current: SecretString,
        new: SecretString,
    ) -> Result<TokenPair> {
        let inner = &self.inner;
        let Credential::Token { user_id, .. } = principal.credential else {
            return Err(Error::Forbidden(PublicMessage::new("An API key has no password.")));
        };
        let name = AccountName::parse(&principal.account).ok_or(Error::NotFound("account"))?;
        if let Err(problem) = password::check(&new, &name) {
            return Err(Error::field("/new_password", problem.code(), problem.detail()));
        }
        let hash = users::password_hash(&mut *inner.database.get().await?, user_id).await?;
        if !inner.passwords.verify(current, Some(hash)).await? {
            return Err(Error::Forbidden(PublicMessage::new("That is not the current password.")));
        }
        let new_hash = inner.passwords.hash(new).await?;
        let change = UserChange { password_hash: Some(new_hash.clone()), ..UserChange::default() };
        let now = inner.clock.now();
        transaction::run(&inner.database, &inner.logger, "change_password", async |connection| {
            let (user, _) = users::lock(connection, user_id).await?;
            users::update(connection, &user, &change, now).await.map_err(Abort::from)
        })
        .await?;
        self.forget();
        info!(inner.logger, "password changed"; "account" => &principal.account);
        self.begin_session(user_id, &new_hash).await?.ok_or_else(|| refused(BAD_TOKEN))
    }

    /// An access token for an operator on the machine, without a session.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account; [`Error::Forbidden`] when it is disabled.
    pub async fn operator_token(&self, username: &str, ttl: Duration) -> Result<SecretString> {
        let known = users::find_by_name(&mut *self.inner.database.get().await?, username).await?;
        let (user, _) = known.ok_or(Error::NotFound("account"))?;
        if !user.is_enabled() {
            return Err(Error::Forbidden(PublicMessage::new("The account is disabled.")));
        }
        self.inner.tokens.issue(&user, None, ttl)
    }

    /// An access token of some enabled admin, for an operator on the machine.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when there is none.
    pub async fn admin_token(&self, ttl: Duration) -> Result<SecretString> {
        let admin = users::find_admin(&mut *self.inner.database.get().await?).await?;
        self.inner.tokens.issue(&admin.ok_or_else(|| refused("There is no enabled admin."))?, None, ttl)
    }

    fn pair(&self, user: &User, family: Uuid, refresh_token: SecretString) -> Result<TokenPair> {
        let settings = &self.inner.settings;
        Ok(TokenPair {
            access_token: self.inner.tokens.issue(user, Some(family), settings.access_token_ttl())?,
            access_ttl: settings.access_token_ttl(),
            refresh_token,
            refresh_ttl: settings.refresh_token_ttl(),
        })
    }

    fn fresh(&self) -> Result<Fresh> {
        let token = secret::generate(&self.inner.clock);
        let digest = secret::digest(token.expose_secret());
        let digest = digest.ok_or_else(|| Error::internal("a generated secret has no digest"))?;
        Ok(Fresh { id: self.inner.clock.new_uuid(), token, digest })
    }

    fn new_row<'f>(
        &self,
        fresh: &'f Fresh,
        family: Uuid,
        user_id: Uuid,
        now: DateTime<Utc>,
    ) -> NewRefreshToken<'f> {
        NewRefreshToken {
            id: fresh.id,
            token_hash: &fresh.digest,
            family,
            user_id,
            issued_at: now,
            expires_at: now + span(self.inner.settings.refresh_token_ttl()),
        }
    }
}

/// A configured time, which is never too long for a date.
fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
