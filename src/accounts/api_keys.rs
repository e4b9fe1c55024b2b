//! API keys: `aval_<identifier>_<secret>`.
//!
//! The identifier finds the row, the secret proves the key. A key never does more than its role, and of that only what
//! its scopes say.
//!
//! A key does not outlive the authority that it comes from. One that a person has made is revoked when that account is
//! disabled, deleted, or falls below the key's role; one that another key has made ends no later than that key and is
//! revoked with it. Triggers see to both. A key that an operator makes on the machine depends on no other.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use secrecy::{ExposeSecret as _, SecretString};
use slog::{info, warn};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::principal::{Credential, Principal};
use super::{Accounts, Origin, secret};
use crate::domain::account::{AccountName, KeyLimits, Role, Scope};
use crate::error::{CredentialFault, Error, PublicMessage, Result};
use crate::storage::api_keys::{self, ApiKey, NewApiKey};
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::transaction::{self, Abort};

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
    /// How often it may be used.
    pub limits: KeyLimits,
}

impl NewKey {
    /// The scopes that the key could never use, because every route that needs them asks for a higher role.
    pub fn scopes_above_role(&self) -> impl Iterator<Item = Scope> {
        self.scopes.iter().copied().filter(|scope| scope.least_role() > self.role)
    }

    /// Whether it may do what `maker` may not: no key is given what its maker does not have.
    fn exceeds(&self, maker: &Principal) -> bool {
        self.role > maker.role || self.scopes.iter().any(|scope| !maker.has_scope(*scope))
    }
}

/// A key that was made now, with its text, which is stored nowhere.
pub struct MadeKey {
    /// The key.
    pub key: ApiKey,
    /// Its text.
    pub text: SecretString,
}

/// The secret of a key that is about to be made.
struct MintedKey {
    accounts: Accounts,
    origin: Origin,
    id: Uuid,
    secret: SecretString,
    digest: Vec<u8>,
}

impl MintedKey {
    /// Inserts the key; gives it with its text.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name was given before; as [`Accounts::begin_change`], or when the database fails.
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
        let taken = || Error::Conflict(PublicMessage::new("This name was given to a key before."));
        let stored = api_keys::insert(connection, &new).await?.ok_or_else(taken)?;
        let text = format!("{}{}", stored.prefix(), self.secret.expose_secret());
        Ok((stored, SecretString::from(text)))
    }

    /// Logs the key once it is made.
    fn log(&self, key: &NewKey) {
        info!(self.accounts.inner.logger, "API key made"; "key" => key.name.as_str(), "by" => self.origin.by());
    }
}

impl Accounts {
    /// Who sent an API key.
    ///
    /// # Errors
    /// [`Error::Credential`] for one that is refused, or when the database fails. Only who has the secret learns that a key
    /// has ended.
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
            warn!(self.inner.logger, "the use of an API key was not noted"; error);
        }
        principal(&key)
    }

    /// The key as it is now; `None` when it is not good any more.
    pub(super) async fn live_key(&self, id: Uuid) -> Result<Option<Principal>> {
        let key = self.inner.directory.key(id).await?;
        key.filter(|key| key.is_live(self.inner.clock.now())).map(|key| principal(&key)).transpose()
    }

    /// Makes a key; gives it with its text, which stands nowhere else.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name was given before.
    pub async fn add_key(&self, key: &NewKey, origin: &Origin) -> Result<(ApiKey, SecretString)> {
        let inner = &self.inner;
        let minted = self.mint_key(origin)?;
        let made = transaction::run(&inner.database, &inner.logger, "add_key", async |connection| {
            minted.insert(connection, key).await.map_err(Abort::from)
        });
        let made = made.await?;
        minted.log(key);
        Ok(made)
    }

    /// Makes a key on behalf of `maker`, once for its key where it has one.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when it may do what its maker may not, or when a key makes it and keys may not;
    /// [`Error::Conflict`] when the name was given before; as [`idempotency::once`].
    pub async fn create_key(
        &self,
        new: &NewKey,
        maker: &Principal,
        origin: &Origin,
        keyed: Option<&Keyed<'_, MadeKey>>,
    ) -> Result<Once<MadeKey>> {
        if new.exceeds(maker) {
            let text = "A key cannot be given a role or a scope that its maker does not have.";
            return Err(Error::Forbidden(PublicMessage::new(text)));
        }
        let inner = &self.inner;
        let minted = self.mint_key(origin)?;
        let work = async |connection: &mut AsyncPgConnection| {
            let (key, text) = minted.insert(connection, new).await?;
            Ok(MadeKey { key, text })
        };
        let made = idempotency::once(&inner.database, &inner.logger, "create_api_key", keyed, work).await?;
        if let Once::Made(_) = made {
            minted.log(new);
        }
        Ok(made)
    }

    /// Makes up the secret of a key: what is left is one row, which the transaction inserts.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when a key makes it and keys may not; [`Error::Internal`] when the secret has no digest: a
    /// defect.
    fn mint_key(&self, origin: &Origin) -> Result<MintedKey> {
        if origin.key().is_some() && !self.inner.settings.keys_make_keys {
            let text = "An API key cannot make API keys here (accounts.keys_make_keys).";
            return Err(Error::Forbidden(PublicMessage::new(text)));
        }
        let secret = secret::generate(&self.inner.clock);
        let digest = secret::digest(secret.expose_secret())
            .ok_or_else(|| Error::internal("a generated secret has no digest"))?;
        Ok(MintedKey {
            accounts: self.clone(),
            origin: origin.clone(),
            id: self.inner.clock.new_uuid(),
            secret,
            digest: digest.to_vec(),
        })
    }

    /// A key.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn key(&self, id: Uuid) -> Result<ApiKey> {
        let found = api_keys::find(&mut *self.inner.database.get().await?, id).await?;
        found.ok_or(Error::NotFound("API key"))
    }

    /// Keys, newest first, at most `limit`, made before `before`.
    pub async fn keys(&self, before: Option<Uuid>, limit: i64) -> Result<Vec<ApiKey>> {
        api_keys::list_page(&mut *self.inner.database.get().await?, before, limit).await
    }

    /// Revokes a key and those that it has made. Doing it twice changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; as [`Accounts::begin_change`], or when the database fails.
    pub async fn revoke_key(&self, id: Uuid, origin: &Origin) -> Result<()> {
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

/// Who a key acts as.
///
/// # Errors
/// [`Error::UnknownLabel`] for a role that this version does not know.
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
