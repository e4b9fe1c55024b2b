//! API keys: `aval_<identifier>_<secret>`.
//!
//! The identifier finds the row, the secret proves the key. A key never does more than its role, and of that only what
//! its scopes say.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use secrecy::{ExposeSecret as _, SecretString};
use slog::{info, warn};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::principal::{Credential, Principal};
use super::{Accounts, refused, secret};
use crate::domain::account::{AccountName, Role, Scope};
use crate::error::{Error, PublicMessage, Result};
use crate::storage::api_keys::{self, ApiKey, NewApiKey};

const BAD_KEY: &str = "The API key is not good, or not any more.";

/// A key to be made.
#[derive(Debug)]
pub struct NewKey {
    /// How it is called, for ever.
    pub name: AccountName,
    /// The most that it may do.
    pub role: Role,
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// Until when it is good; for ever when absent.
    pub expires_at: Option<DateTime<Utc>>,
}

impl NewKey {
    /// Whether it may do what `maker` may not: no key is given what its maker does not have.
    pub fn exceeds(&self, maker: &Principal) -> bool {
        self.role > maker.role || self.scopes.iter().any(|scope| !maker.has_scope(*scope))
    }
}

/// The secret of a key that is about to be made.
pub struct MintedKey {
    id: Uuid,
    secret: SecretString,
    digest: Vec<u8>,
}

impl MintedKey {
    /// Inserts the key; gives it with its text.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name was given before, or when the database fails.
    pub async fn insert(
        &self,
        connection: &mut AsyncPgConnection,
        key: &NewKey,
        by: &str,
    ) -> Result<(ApiKey, SecretString)> {
        let new = NewApiKey {
            id: self.id,
            name: key.name.as_str(),
            key_hash: &self.digest,
            role: key.role,
            scopes: &key.scopes,
            created_by: by,
            expires_at: key.expires_at,
        };
        let taken = || Error::Conflict(PublicMessage::new("This name was given to a key before."));
        let stored = api_keys::insert(connection, &new).await?.ok_or_else(taken)?;
        let text = format!("{}{}", stored.prefix(), self.secret.expose_secret());
        Ok((stored, SecretString::from(text)))
    }
}

impl Accounts {
    /// Who sent an API key.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for one that is not good, or when the database fails.
    pub async fn authenticate_key(&self, text: &str) -> Result<Principal> {
        let (id, digest) = parse(text).ok_or_else(|| refused(BAD_KEY))?;
        let key = self.inner.directory.key(id).await?.ok_or_else(|| refused(BAD_KEY))?;
        let is_proven = bool::from(key.key_hash.ct_eq(&digest));
        if !is_proven || !key.is_live(self.inner.clock.now()) {
            return Err(refused(BAD_KEY));
        }
        if let Err(error) = self.inner.directory.touch(&key).await {
            warn!(self.inner.logger, "the use of an API key was not noted"; error);
        }
        Ok(principal(&key))
    }

    /// The key as it is now; `None` when it is not good any more.
    pub(super) async fn live_key(&self, id: Uuid) -> Result<Option<Principal>> {
        let key = self.inner.directory.key(id).await?;
        Ok(key.filter(|key| key.is_live(self.inner.clock.now())).map(|key| principal(&key)))
    }

    /// Makes a key; gives it with its text, which stands nowhere else.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name was given before.
    pub async fn add_key(&self, key: &NewKey, by: &str) -> Result<(ApiKey, SecretString)> {
        let minted = self.mint_key()?;
        let made = minted.insert(&mut *self.inner.database.get().await?, key, by).await?;
        self.tell_of_key(key, by);
        Ok(made)
    }

    /// Makes up the secret of a key: what is left is one row, which the caller's transaction may hold.
    ///
    /// # Errors
    /// [`Error::Internal`] when the secret has no digest: a defect.
    pub fn mint_key(&self) -> Result<MintedKey> {
        let secret = secret::generate(&self.inner.clock);
        let digest = secret::digest(secret.expose_secret())
            .ok_or_else(|| Error::internal("a generated secret has no digest"))?;
        Ok(MintedKey { id: self.inner.clock.new_uuid(), secret, digest: digest.to_vec() })
    }

    /// Logs a key that was made.
    pub fn tell_of_key(&self, key: &NewKey, by: &str) {
        info!(self.inner.logger, "API key made"; "key" => key.name.as_str(), "by" => by);
    }

    /// Keys, newest first, at most `limit`, made before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self, before: Option<Uuid>, limit: i64) -> Result<Vec<ApiKey>> {
        api_keys::list_page(&mut *self.inner.database.get().await?, before, limit).await
    }

    /// Takes a key back. Doing it twice changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn revoke_key(&self, id: Uuid, by: &str) -> Result<()> {
        let now = self.inner.clock.now();
        api_keys::revoke(&mut *self.inner.database.get().await?, id, now).await?;
        self.forget();
        info!(self.inner.logger, "API key taken back"; "key" => %id, "by" => by);
        Ok(())
    }
}

fn principal(key: &ApiKey) -> Principal {
    let credential = Credential::ApiKey { key_id: key.id, scopes: Arc::from(key.scopes.as_slice()) };
    Principal {
        account: format!("{}{}", AccountName::KEY_PREFIX, key.name),
        role: key.role,
        credential,
        valid_until: key.expires_at,
    }
}

/// The identifier and the digest of the secret.
fn parse(text: &str) -> Option<(Uuid, [u8; secret::BYTES])> {
    let mut parts = text.splitn(3, '_');
    let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let id = Uuid::try_parse(id).ok().filter(|_| prefix == ApiKey::WORD && id.len() == 32)?;
    Some((id, secret::digest(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_key_is_read() {
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let secret = "a_b-".repeat(10) + "xyz";
        let text = format!("aval_{}_{secret}", id.simple());
        assert_eq!(parse(&text), secret::digest(&secret).map(|digest| (id, digest)));
        for bad in [
            "",
            "aval",
            "aval__",
            text.trim_start_matches('a'),
            text.trim_end_matches('z'),
            &format!("aval_{id}_{secret}"),
            &text.replacen("aval", "lava", 1),
            &format!("{text}x"),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
