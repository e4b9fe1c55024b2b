//! Encryption keys, index keys and webhook secrets.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::strength::{different, is_guessable, is_patterned, is_text};
use crate::error::{Error, Result};

const KEY_BYTES: usize = 32;
/// The minimum number of distinct bytes in a key. 32 random bytes have fewer with probability 10^-30.
const KEY_MIN_DIFFERENT: usize = 12;
/// Sizes of a symmetric secret that Standard Webhooks allows, in bytes.
const WEBHOOK_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const WEBHOOK_PREFIX: &str = "whsec_";
/// The secret in the examples of the Standard Webhooks specification.
const PUBLISHED_WEBHOOK_SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A 256-bit key that encrypts personal data.
#[derive(Clone)]
pub struct SealingKey {
    /// Identifies the key in the data that it encrypted: the first bytes of its SHA-256, which do not reveal the key.
    pub id: [u8; 4],
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl SealingKey {
    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }
}

/// The 256-bit key of the blind index.
#[derive(Clone)]
pub struct IndexKey(Zeroizing<[u8; KEY_BYTES]>);

impl IndexKey {
    pub(super) fn parse(secret: &SecretString) -> Result<Self> {
        const NAME: &str = "secrets.index (INDEX_KEY)";
        let key = key_bytes(secret.expose_secret(), NAME)?;
        refuse_weak(&key, NAME, "make one with: openssl rand -base64 32, then run aval reencrypt")?;
        Ok(Self(key))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// The symmetric secret for a bureau's webhooks.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// Parses comma-separated secrets like `whsec_MfKQ…`.
    ///
    /// # Errors
    /// [`Error::Configuration`] for anything but the prefix and 24 to 64 random bytes in base64.
    pub fn parse_all(secrets: &SecretString) -> Result<Vec<Self>> {
        listed(secrets).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self> {
        let bytes = text.strip_prefix(WEBHOOK_PREFIX).and_then(|encoded| BASE64.decode(encoded).ok());
        let is_strong = |bytes: &Zeroizing<Vec<u8>>| {
            // The decoded bytes may themselves be text.
            let guessable = std::str::from_utf8(bytes).is_ok_and(is_guessable) || is_patterned(bytes);
            WEBHOOK_BYTES.contains(&bytes.len()) && different(bytes) >= KEY_MIN_DIFFERENT && !guessable
        };
        let bytes = bytes.map(Zeroizing::new).filter(is_strong);
        bytes.map(Self).ok_or_else(|| {
            Error::configuration(
                "a webhook secret (WEBHOOK_SECRET, secrets.webhooks) must be whsec_ and 24 to 64 random bytes in base64; \
                 make one with: echo \"whsec_$(openssl rand -base64 32)\"",
            )
        })
    }

    /// Whether it is the published example secret, which anyone can use to sign messages.
    pub(super) fn is_published(&self) -> bool {
        BASE64.encode(self.expose()) == PUBLISHED_WEBHOOK_SECRET
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// The keys of `ENCRYPTION_KEY`. The first one encrypts and must be strong. The others only decrypt existing data until
/// it has been re-encrypted.
pub(super) fn sealing_keys(secret: &SecretString) -> Result<Vec<SealingKey>> {
    const NAME: &str = "secrets.encryption (ENCRYPTION_KEY)";
    let mut keys: Vec<SealingKey> = Vec::new();
    for text in listed(secret) {
        let key = key_bytes(text, NAME)?;
        if keys.is_empty() {
            refuse_weak(
                &key,
                NAME,
                "make one with: openssl rand -base64 32; keep a key that has encrypted data behind the new one until aval \
                 reencrypt has run",
            )?;
        }
        let mut id = [0; 4];
        id.iter_mut().zip(Sha256::digest(key.as_slice())).for_each(|(to, byte)| *to = byte);
        if keys.iter().any(|other| other.id == id) {
            return Err(Error::configuration(format_args!("{NAME} contains a key twice")));
        }
        keys.push(SealingKey { id, key });
    }
    if keys.is_empty() {
        return Err(Error::configuration(format_args!("{NAME} must contain a key")));
    }
    Ok(keys)
}

fn listed(secrets: &SecretString) -> impl Iterator<Item = &str> {
    secrets.expose_secret().split(',').map(str::trim).filter(|text| !text.is_empty())
}

fn key_bytes(text: &str, name: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>> {
    let refuse = |rule: &str| {
        Error::configuration(format_args!("{name} {rule}; make one with: openssl rand -base64 32"))
    };
    let bytes = BASE64.decode(text).ok().map(Zeroizing::new);
    let bytes = bytes.ok_or_else(|| refuse("must be base64"))?;
    let key: [u8; KEY_BYTES] =
        bytes.as_slice().try_into().ok().ok_or_else(|| refuse("must be 32 bytes in base64"))?;
    Ok(Zeroizing::new(key))
}

fn refuse_weak(key: &[u8; KEY_BYTES], name: &str, remedy: &str) -> Result<()> {
    if different(key) < KEY_MIN_DIFFERENT || is_patterned(key) || is_text(key) {
        return Err(Error::configuration(format_args!(
            "{name} can be guessed: it is text or follows a pattern; {remedy}"
        )));
    }
    Ok(())
}

macro_rules! masked_debug {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(****)"))
            }
        }
    )+};
}

masked_debug!(SealingKey, IndexKey, WebhookSecret);
