//! User sessions: how they are renewed and how they end.
//!
//! A session begins with a sign-in ([`super::login`]) and ends a fixed time later, however often it is renewed. Its
//! refresh tokens form a family. Within its grace period, a token may be exchanged again a bounded number of times.
//! Only the newest few unused tokens of a family stay valid, so a stolen copy does not stay usable indefinitely.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncPgConnection;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use slog::{info, warn};
use uuid::Uuid;

use super::principal::{Credential, Principal};
use super::{Accounts, ChangeOrigin, refused, secret};
use crate::error::{CredentialFault, Error, PublicMessage, Result};
use crate::storage::refresh_tokens::{self, NewRefreshToken, RefreshToken};
use crate::storage::seal::SealedField;
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::{self, Abort};
use crate::storage::users::{self, User};

/// How many times a refresh token may be exchanged within its grace period.
const MAX_USES: i32 = 10;
/// The number of valid unused refresh tokens per session.
const MAX_UNUSED: i64 = 10;

/// The tokens for the client.
#[derive(Debug)]
pub struct TokenPair {
    /// For the `Authorization` header.
    pub access_token: SecretString,
    pub access_ttl: Duration,
    /// Renews the session. It should be used once.
    pub refresh_token: SecretString,
    pub refresh_ttl: Duration,
}

/// The result of a refresh.
enum Refreshed {
    Renewed(User, RefreshToken),
    Refused(CredentialFault),
    /// The token was used before, so someone has a copy of it.
    Reused(User),
}

/// A refresh token to store.
pub(super) struct GeneratedToken {
    id: Uuid,
    pub(super) token: SecretString,
    digest: [u8; secret::BYTES],
    /// The sealed address of the client.
    address: Option<Vec<u8>>,
    user_agent: Option<String>,
}

impl Accounts {
    /// Authenticates a bearer token: an access token, or an API key, which has a recognizable prefix.
    ///
    /// # Errors
    /// [`Error::Credential`] for an invalid token.
    pub async fn authenticate_token(&self, token: &str) -> Result<Principal> {
        match secret::kind(token) {
            Some(secret::Kind::ApiKey) => return self.authenticate_key(token).await,
            Some(secret::Kind::Opaque) => return Err(Error::Credential(CredentialFault::WrongKind)),
            Some(secret::Kind::AccessToken) | None => {}
        }
        let claims = self.inner.tokens.verify(token).map_err(Error::Credential)?;
        let credential =
            Credential::Token { user_id: claims.sub, token_version: claims.ver, session: claims.sid };
        let person = self.live_user(credential, Some(claims.expires_at())).await?;
        person.ok_or(Error::Credential(CredentialFault::Revoked))
    }

    /// The current principal of a credential; `None` if it is no longer valid or is an API key.
    pub(super) async fn live_user(
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

    /// Whether the principal's credential is still valid and has the same role.
    pub async fn is_still_valid(&self, principal: &Principal) -> Result<bool> {
        match self.confirm(principal).await {
            Ok(()) => Ok(true),
            Err(Error::Credential(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Verifies a principal's credential again. Must be called before acting if the request waited for the client after
    /// it was authorized.
    ///
    /// # Errors
    /// [`Error::Credential`] if the credential is no longer valid or has another role.
    pub async fn confirm(&self, principal: &Principal) -> Result<()> {
        let now = self.inner.clock.now();
        if principal.valid_until.is_some_and(|until| now >= until) {
            return Err(Error::Credential(CredentialFault::Expired));
        }
        let live = match principal.credential.clone() {
            token @ Credential::Token { .. } => self.live_user(token, principal.valid_until).await?,
            Credential::ApiKey { key_id, .. } => self.live_key(key_id).await?,
        };
        let same = |live: &Principal| live.role == principal.role && live.credential == principal.credential;
        if live.as_ref().is_some_and(same) {
            Ok(())
        } else {
            Err(Error::Credential(CredentialFault::Revoked))
        }
    }

    /// Renews a session. The token becomes invalid, except for a short grace period: two browser tabs may refresh at
    /// the same time, or a response may be lost.
    ///
    /// # Errors
    /// [`Error::Credential`] if the token is rejected.
    pub async fn refresh(&self, token: &str, origin: &ChangeOrigin) -> Result<TokenPair> {
        let inner = &self.inner;
        let digest = match (secret::kind(token), secret::digest(token)) {
            (Some(secret::Kind::ApiKey | secret::Kind::AccessToken), _) => Err(CredentialFault::WrongKind),
            (_, None) => Err(CredentialFault::Malformed),
            (_, Some(digest)) => Ok(digest),
        };
        let digest = digest.map_err(Error::Credential)?;
        let (fresh, now) = (self.generate_refresh_token(origin)?, inner.clock.now());
        let refreshed = transaction::run(&inner.database, &inner.logger, "refresh", async |connection| {
            let unknown = Refreshed::Refused(CredentialFault::Unproven);
            let Some(known) = refresh_tokens::find(connection, &digest).await? else {
                return Ok::<_, Abort>(unknown);
            };
            // The account is always locked first when tokens change, so a family that is being revoked gets no new
            // token. The token is read again under the lock.
            let (user, _) = users::lock(connection, known.user_id).await?;
            let Some(token) = refresh_tokens::find(connection, &digest).await? else { return Ok(unknown) };
            if let Some(fault) = self.refresh_fault(&token, &user, now) {
                return Ok(Refreshed::Refused(fault));
            }
            if token.rotated_at.is_some_and(|at| now - at > span(inner.settings.refresh_grace())) {
                self.end_reused(connection, &token, &user, origin, now).await?;
                return Ok(Refreshed::Reused(user));
            }
            // Checked last: an exhausted token used after its grace period still shows that someone has a copy.
            if token.uses >= MAX_USES {
                return Ok(Refreshed::Refused(CredentialFault::Revoked));
            }
            let started = token.session_started_at;
            let row = self.new_row(&fresh, token.family, user.id, started, now);
            refresh_tokens::insert(connection, &row).await?;
            refresh_tokens::rotate(connection, &token, fresh.id, now).await?;
            refresh_tokens::revoke_surplus(connection, token.family, MAX_UNUSED, now).await?;
            Ok(Refreshed::Renewed(user, token))
        });
        match refreshed.await? {
            Refreshed::Renewed(user, token) => {
                self.pair(&user, token.family, fresh.token, token.session_started_at)
            }
            Refreshed::Refused(fault) => Err(Error::Credential(fault)),
            Refreshed::Reused(user) => {
                self.forget();
                warn!(inner.logger, "refresh token reused; session revoked"; "account" => %user.id);
                Err(Error::Credential(CredentialFault::Revoked))
            }
        }
    }

    fn refresh_fault(
        &self,
        token: &RefreshToken,
        user: &User,
        now: DateTime<Utc>,
    ) -> Option<CredentialFault> {
        let is_over = now >= self.session_end(token.session_started_at);
        if token.revoked_at.is_some() || !user.is_enabled() {
            Some(CredentialFault::Revoked)
        } else if now >= token.expires_at || is_over {
            Some(CredentialFault::Expired)
        } else {
            None
        }
    }

    /// Revokes the session of a reused token and all access tokens of the account.
    async fn end_reused(
        &self,
        connection: &mut AsyncPgConnection,
        token: &RefreshToken,
        user: &User,
        origin: &ChangeOrigin,
        now: DateTime<Utc>,
    ) -> Result<()> {
        refresh_tokens::revoke_family(connection, token.family, now).await?;
        users::end_tokens(connection, user.id).await?;
        self.attribute(connection, origin).await?;
        let subject = Some(user.username.as_str());
        security_events::record(connection, SecurityEvent::RefreshTokenReused, None, subject, json!({})).await
    }

    /// Ends the caller's session and all access tokens of the account. Other sessions of the account can get
    /// new access tokens with their own refresh tokens.
    pub async fn logout(&self, principal: &Principal, origin: &ChangeOrigin) -> Result<()> {
        let inner = &self.inner;
        let Credential::Token { user_id, session, .. } = principal.credential else { return Ok(()) };
        let now = inner.clock.now();
        transaction::run(&inner.database, &inner.logger, "logout", async |connection| {
            users::lock(connection, user_id).await?;
            if let Some(family) = session {
                refresh_tokens::revoke_family(connection, family, now).await?;
            }
            users::end_tokens(connection, user_id).await?;
            self.attribute(connection, origin).await?;
            let subject = Some(principal.account.as_str());
            security_events::record(connection, SecurityEvent::LoggedOut, None, subject, json!({})).await?;
            Ok::<_, Abort>(())
        })
        .await?;
        self.forget();
        info!(inner.logger, "signed out");
        Ok(())
    }

    /// Issues an access token without a session, for an operator on the machine.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account does not exist; [`Error::Forbidden`] if it is disabled.
    pub async fn operator_token(&self, username: &str, ttl: Duration) -> Result<SecretString> {
        let known = users::find_by_name(&mut *self.inner.database.get().await?, username).await?;
        let (user, _) = known.ok_or(Error::NotFound("account"))?;
        if !user.is_enabled() {
            return Err(Error::Forbidden(PublicMessage::new("The account is disabled.")));
        }
        self.issue_recorded(&user, ttl).await
    }

    /// Issues an access token of an enabled admin, for an operator on the machine.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if there is none.
    pub async fn admin_token(&self, ttl: Duration) -> Result<SecretString> {
        let admin = users::find_admin(&mut *self.inner.database.get().await?).await?;
        self.issue_recorded(&admin.ok_or_else(|| refused("There is no enabled admin."))?, ttl).await
    }

    async fn issue_recorded(&self, user: &User, ttl: Duration) -> Result<SecretString> {
        let inner = &self.inner;
        transaction::run(&inner.database, &inner.logger, "record_token", async |connection| {
            self.attribute(connection, &ChangeOrigin::system("system:operator")).await?;
            let (subject, detail) = (Some(user.username.as_str()), json!({ "seconds": ttl.as_secs() }));
            security_events::record(connection, SecurityEvent::AccessTokenIssued, None, subject, detail)
                .await?;
            Ok::<_, Abort>(())
        })
        .await?;
        inner.tokens.issue(user, None, ttl)
    }

    /// The tokens of a session that began at `started`. Neither is valid beyond the end of the session.
    pub(super) fn pair(
        &self,
        user: &User,
        family: Uuid,
        refresh_token: SecretString,
        started: DateTime<Utc>,
    ) -> Result<TokenPair> {
        let settings = &self.inner.settings;
        let left = (self.session_end(started) - self.inner.clock.now()).to_std().unwrap_or_default();
        let access_ttl = settings.access_token_ttl().min(left);
        Ok(TokenPair {
            access_token: self.inner.tokens.issue(user, Some(family), access_ttl)?,
            access_ttl,
            refresh_token,
            refresh_ttl: settings.refresh_token_ttl().min(left),
        })
    }

    /// The end of a session that began at `started`, regardless of renewals.
    fn session_end(&self, started: DateTime<Utc>) -> DateTime<Utc> {
        started + span(self.inner.settings.session())
    }

    pub(super) fn generate_refresh_token(&self, origin: &ChangeOrigin) -> Result<GeneratedToken> {
        let id = self.inner.clock.new_uuid();
        let seal = |address: IpAddr| {
            let keys = self.inner.database.keys();
            keys.seal(SealedField::SessionAddress, id.as_bytes(), &address.to_string())
        };
        let (address, user_agent) =
            (origin.address().map(seal).transpose()?, origin.user_agent().map(str::to_owned));
        let token = secret::generate(&self.inner.clock);
        let digest = secret::digest(token.expose_secret());
        let digest = digest.ok_or_else(|| Error::internal("a generated secret has no digest"))?;
        Ok(GeneratedToken { id, token, digest, address, user_agent })
    }

    pub(super) fn new_row<'f>(
        &self,
        fresh: &'f GeneratedToken,
        family: Uuid,
        user_id: Uuid,
        started: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> NewRefreshToken<'f> {
        NewRefreshToken {
            id: fresh.id,
            token_hash: &fresh.digest,
            family,
            user_id,
            issued_at: now,
            expires_at: self.session_end(started).min(now + span(self.inner.settings.refresh_token_ttl())),
            session_started_at: started,
            address: fresh.address.as_deref(),
            user_agent: fresh.user_agent.as_deref(),
        }
    }
}

/// Converts a configured duration, which is always in range.
fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
