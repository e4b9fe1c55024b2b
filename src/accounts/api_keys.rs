//! API keys: `aval_<identifier>_<secret>`.
//!
//! The identifier selects the row; the secret authenticates. A key's permissions are those of its scopes, limited by
//! its role.
//!
//! A key loses its permissions when its creator does. A key that a user created is revoked when that user is disabled
//! or deleted, or gets a role below the key's. A key that another key created expires no later than that key and is
//! revoked with it. Triggers enforce these rules. A key that was created with `aval api-key` has no such dependency.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use secrecy::{ExposeSecret as _, SecretString};
use slog::{info, warn};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::principal::{Credential, Principal};
use super::{Accounts, ChangeOrigin, secret};
use crate::domain::account::{AccountName, KeyLimits, Role, Scope};
use crate::error::{CredentialFault, Error, PublicMessage, Result};
use crate::storage::api_keys::{self, ApiKey, NewApiKey};
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::transaction::{self, Abort};

/// A key to create.
#[derive(Debug)]
pub struct NewKey {
    /// The name, which cannot be changed later.
    pub name: AccountName,
    /// The upper limit of the key's permissions.
    pub role: Role,
    pub scopes: Vec<Scope>,
    /// `None` if the key does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    pub limits: KeyLimits,
}

impl NewKey {
    /// Scopes that the key cannot use, because every route for them requires a higher role.
    pub fn scopes_above_role(&self) -> impl Iterator<Item = Scope> {
        self.scopes.iter().copied().filter(|scope| scope.minimum_role() > self.role)
    }

    /// Whether the key would have permissions that `creator` does not have.
    fn exceeds(&self, creator: &Principal) -> bool {
        self.role > creator.role || self.scopes.iter().any(|scope| !creator.has_scope(*scope))
    }
}

/// A new key and its text, which is not stored.
pub struct CreatedKey {
    pub key: ApiKey,
    /// The whole key as given to the client.
    pub text: SecretString,
}

/// A key to insert, with its generated secret.
struct PreparedKey {
    accounts: Accounts,
    origin: ChangeOrigin,
    id: Uuid,
    secret: SecretString,
    digest: Vec<u8>,
}

impl PreparedKey {
    /// Inserts the key and returns it with its text.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the name was used before; the errors of [`Accounts::begin_change`].
    async fn insert(
        &self,
        connection: &mut AsyncPgConnection,
        key: &NewKey,
    ) -> Result<(ApiKey, SecretString)> {
        self.accounts.begin_change(connection, &self.origin).await?;
        let new = NewApiKey {
            id: self.id,
            name: key.name.as_str(),
            key_hash: &self.digest,
            role: key.role,
            scopes: &key.scopes,
            created_by: self.origin.by(),
            made_by_user: self.origin.person(),
            made_by_key: self.origin.key(),
            expires_at: key.expires_at,
            limits: key.limits,
        };
        let taken = || {
            Error::Conflict(PublicMessage::new(
                "An API key with this name was created before. Choose another name.",
            ))
        };
        let stored = api_keys::insert(connection, &new).await?.ok_or_else(taken)?;
        let text = format!("{}{}", stored.prefix(), self.secret.expose_secret());
        Ok((stored, SecretString::from(text)))
    }

    /// Logs the creation of the key.
    fn log(&self, key: &NewKey) {
        info!(self.accounts.inner.logger, "API key created"; "key" => key.name.as_str(), "by" => self.origin.by());
    }
}

impl Accounts {
    /// Authenticates an API key.
    ///
    /// # Errors
    /// [`Error::Credential`] for an invalid key. That a key has expired or was revoked is only reported if the secret
    /// is correct.
    pub async fn authenticate_key(&self, text: &str) -> Result<Principal> {
        if matches!(secret::kind(text), Some(secret::Kind::AccessToken | secret::Kind::Opaque)) {
            return Err(Error::Credential(CredentialFault::WrongKind));
        }
        let (id, digest) = parse(text).ok_or(Error::Credential(CredentialFault::Malformed))?;
        let key = self.inner.directory.key(id).await?;
        let key = key.filter(|key| bool::from(key.key_hash.ct_eq(&digest)));
        let key = key.ok_or(Error::Credential(CredentialFault::Unproven))?;
        if key.revoked_at.is_some() {
            return Err(Error::Credential(CredentialFault::Revoked));
        }
        if !key.is_live(self.inner.clock.now()) {
            return Err(Error::Credential(CredentialFault::Expired));
        }
        if let Err(error) = self.inner.directory.touch(&key).await {
            warn!(self.inner.logger, "cannot record the use of an API key"; error);
        }
        principal(&key)
    }

    /// The current state of a key; `None` if it was revoked or has expired.
    pub(super) async fn live_key(&self, id: Uuid) -> Result<Option<Principal>> {
        let key = self.inner.directory.key(id).await?;
        key.filter(|key| key.is_live(self.inner.clock.now())).map(|key| principal(&key)).transpose()
    }

    /// Creates a key and returns it with its text, which is not stored.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the name was used before.
    pub async fn add_key(&self, key: &NewKey, origin: &ChangeOrigin) -> Result<(ApiKey, SecretString)> {
        let inner = &self.inner;
        let prepared = self.prepare_key(origin)?;
        let made = transaction::run(&inner.database, &inner.logger, "add_key", async |connection| {
            prepared.insert(connection, key).await.map_err(Abort::from)
        });
        let made = made.await?;
        prepared.log(key);
        Ok(made)
    }

    /// Creates a key on behalf of `creator`, at most once per idempotency key.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the key would have permissions that its creator does not have, or if the creator is an
    /// API key and `accounts.keys_make_keys` is off; [`Error::Conflict`] if the name was used before; those of
    /// [`idempotency::once`].
    pub async fn create_key(
        &self,
        new: &NewKey,
        creator: &Principal,
        origin: &ChangeOrigin,
        keyed: Option<&Keyed<'_, CreatedKey>>,
    ) -> Result<Once<CreatedKey>> {
        if new.exceeds(creator) {
            let text = "An API key cannot have a role or scope that its creator does not have.";
            return Err(Error::Forbidden(PublicMessage::new(text)));
        }
        let inner = &self.inner;
        let prepared = self.prepare_key(origin)?;
        let work = async |connection: &mut AsyncPgConnection| {
            let (key, text) = prepared.insert(connection, new).await?;
            Ok(CreatedKey { key, text })
        };
        let made = idempotency::once(&inner.database, &inner.logger, "create_api_key", keyed, work).await?;
        if let Once::Made(_) = made {
            prepared.log(new);
        }
        Ok(made)
    }

    /// Generates the secret of a key. The transaction then only inserts one row.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the creator is an API key and `accounts.keys_make_keys` is off; [`Error::Internal`] if
    /// the secret has no digest, which is a bug.
    fn prepare_key(&self, origin: &ChangeOrigin) -> Result<PreparedKey> {
        if origin.key().is_some() && !self.inner.settings.keys_make_keys {
            let text = "API keys cannot create API keys, because accounts.keys_make_keys is off.";
            return Err(Error::Forbidden(PublicMessage::new(text)));
        }
        let secret = secret::generate(&self.inner.clock);
        let digest = secret::digest(secret.expose_secret())
            .ok_or_else(|| Error::internal("a generated secret has no digest"))?;
        Ok(PreparedKey {
            accounts: self.clone(),
            origin: origin.clone(),
            id: self.inner.clock.new_uuid(),
            secret,
            digest: digest.to_vec(),
        })
    }

    /// Gets a key.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn key(&self, id: Uuid) -> Result<ApiKey> {
        let found = api_keys::find(&mut *self.inner.database.get().await?, id).await?;
        found.ok_or(Error::NotFound("API key"))
    }

    /// Up to `limit` keys created before the key `before`, newest first.
    pub async fn keys(&self, before: Option<Uuid>, limit: i64) -> Result<Vec<ApiKey>> {
        api_keys::list_page(&mut *self.inner.database.get().await?, before, limit).await
    }

    /// Revokes a key and the keys that it created. Idempotent.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the errors of [`Accounts::begin_change`].
    pub async fn revoke_key(&self, id: Uuid, origin: &ChangeOrigin) -> Result<()> {
        let inner = &self.inner;
        let now = inner.clock.now();
        transaction::run(&inner.database, &inner.logger, "revoke_key", async |connection| {
            self.begin_change(connection, origin).await?;
            api_keys::revoke(connection, id, now).await.map_err(Abort::from)
        })
        .await?;
        self.forget();
        info!(inner.logger, "API key revoked"; "key" => %id, "by" => origin.by());
        Ok(())
    }
}

/// The principal of a key.
///
/// # Errors
/// [`Error::UnknownLabel`] for a role unknown to this version.
fn principal(key: &ApiKey) -> Result<Principal> {
    let unknown = || Error::unknown_label("role", "of an API key");
    let role = key.role.known().ok_or_else(unknown)?;
    let scopes = Arc::from(key.scopes.as_slice());
    let credential = Credential::ApiKey { key_id: key.id, scopes, limits: key.limits };
    Ok(Principal {
        account: format!("{}{}", AccountName::KEY_PREFIX, key.name),
        role,
        credential,
        valid_until: key.expires_at,
    })
}

/// Parses a key into its identifier and the digest of its secret.
fn parse(text: &str) -> Option<(Uuid, [u8; secret::BYTES])> {
    let mut parts = text.splitn(3, '_');
    let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let id = Uuid::try_parse(id).ok().filter(|_| prefix == ApiKey::PREFIX && id.len() == 32)?;
    Some((id, secret::digest(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_keys_are_parsed() {
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
