//! Encryption of personal data at rest: envelopes and the key ring.
//!
//! Names, documents, birth dates and their copies are sealed before they are sent to the database. Keys and plain text are
//! never part of a statement, so they cannot appear in the database's log, statistics, backups or replicas. An envelope is
//!
//! ```text
//! 1 byte kind (1) | 4 bytes key id | 24 bytes nonce | ciphertext and 16-byte authentication tag
//! ```
//!
//! sealed with XChaCha20-Poly1305. Nonces are random. They have 192 bits, so repetitions are practically impossible and
//! instances need no shared counter. They come from the operating system and not from [`Clock`](crate::clock::Clock),
//! because nonces must differ even if a process or a whole machine is cloned while it runs, and no test may repeat them.
//!
//! Table, column, row and key id are authenticated as associated data, so an envelope only opens where it was sealed. An
//! attacker with write access to the database can destroy data, but cannot forge a name or move one to another person's
//! row.
//!
//! Sealing does not hide the length of a string, the time at which a row was written, which rows belong to the same document
//! (the purpose of the blind index, [`KeyRing::document_index`]), or members of `country_specific_data` that are not
//! declared personal. It does not protect against anyone who holds the keys, which includes every running instance.
//!
//! A key ring has one or more keys. The first one seals; all of them open. To rotate keys, first add the new key after
//! the old one on every instance, then move it to the front. `aval reencrypt` ([`crate::storage::reencrypt`]) then
//! reseals the data, and the old key can be removed.

mod blind_index;
mod place;

use std::fmt;

use chacha20poly1305::aead::{AeadInOut as _, Generate as _, KeyInit as _};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::Hmac;
use sha2::Sha256;

pub use self::blind_index::BlindIndex;
use self::place::EnvelopeLocation;
pub use self::place::{RowKey, SealedField};
use crate::config::Secrets;
use crate::error::{Error, Result};

/// The first byte of an envelope: its kind. There is only this kind.
const SEALED: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The length of everything before the ciphertext.
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// The prefix of an envelope: its kind and the id of the key that sealed it.
pub type EnvelopePrefix = [u8; 1 + KEY_ID_BYTES];

struct RingKey {
    id: [u8; KEY_ID_BYTES],
    cipher: XChaCha20Poly1305,
}

/// The sealing keys and the key of the blind index. They are wiped from memory when dropped.
pub struct KeyRing {
    active: RingKey,
    retired: Vec<RingKey>,
    /// The keyed hash of the blind index, which is cloned for each use.
    index: Hmac<Sha256>,
}

impl KeyRing {
    /// The key ring of a deployment's secrets.
    ///
    /// # Errors
    /// The errors of [`KeyRing::new`].
    pub fn of(secrets: &Secrets) -> Result<Self> {
        let sealing = secrets.sealing.iter().map(|key| (key.id, key.expose()));
        Self::new(sealing, secrets.index.expose())
    }

    /// A key ring of `sealing` keys with their ids: the first seals, all open. `index` is the key of the blind index.
    ///
    /// # Errors
    /// [`Error::Configuration`] without a sealing key.
    pub fn new<'a>(
        sealing: impl IntoIterator<Item = ([u8; KEY_ID_BYTES], &'a [u8; 32])>,
        index: &[u8; 32],
    ) -> Result<Self> {
        let ring_key = |(id, key): ([u8; KEY_ID_BYTES], &[u8; 32])| {
            XChaCha20Poly1305::new_from_slice(key).ok().map(|cipher| RingKey { id, cipher })
        };
        let mut keys = sealing.into_iter().map(ring_key);
        let unusable = || Error::configuration("secrets.encryption (ENCRYPTION_KEY) must contain a key");
        let active = keys.next().flatten().ok_or_else(unusable)?;
        let retired = keys.collect::<Option<_>>().ok_or_else(unusable)?;
        let index = blind_index::keyed(index).ok_or_else(unusable)?;
        Ok(Self { active, retired, index })
    }

    /// Seals `plain` for `field` of `row`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system provides no random bytes, or for more than 256 GiB.
    pub fn seal_bytes(&self, field: SealedField, row: impl AsRef<[u8]>, plain: &[u8]) -> Result<Vec<u8>> {
        self.seal_at(EnvelopeLocation::of(field, row.as_ref()), plain)
    }

    /// Seals a value that is stored outside the database under `key`.
    ///
    /// # Errors
    /// The errors of [`KeyRing::seal_bytes`].
    pub fn seal_copy(&self, key: &str, plain: &[u8]) -> Result<Vec<u8>> {
        self.seal_at(EnvelopeLocation::copy(key.as_bytes()), plain)
    }

    /// Opens a value that is stored outside the database under `key`.
    ///
    /// # Errors
    /// The errors of [`KeyRing::open_bytes`].
    pub fn open_copy(&self, key: &str, envelope: &[u8]) -> Result<Vec<u8>> {
        self.open_at(EnvelopeLocation::copy(key.as_bytes()), envelope)
    }

    fn seal_at(&self, place: EnvelopeLocation<'_>, plain: &[u8]) -> Result<Vec<u8>> {
        let failed = || Error::internal(format_args!("{place} cannot be sealed"));
        let key = &self.active;
        let nonce = XNonce::try_generate().ok().ok_or_else(failed)?;
        let mut envelope = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        envelope.extend_from_slice(&self.active_prefix());
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(plain);
        let text = envelope.get_mut(HEADER_BYTES..).ok_or_else(failed)?;
        let sealed = key.cipher.encrypt_inout_detached(&nonce, &place.associated_data(key.id), text.into());
        envelope.extend_from_slice(&sealed.ok().ok_or_else(failed)?);
        Ok(envelope)
    }

    /// Seals `text` for `field` of `row`.
    ///
    /// # Errors
    /// The errors of [`KeyRing::seal_bytes`].
    pub fn seal(&self, field: SealedField, row: impl AsRef<[u8]>, text: &str) -> Result<Vec<u8>> {
        self.seal_bytes(field, row, text.as_bytes())
    }

    /// Opens the envelope of `field` of `row`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the kind or key is unknown, or the envelope was moved or modified.
    pub fn open_bytes(&self, field: SealedField, row: impl AsRef<[u8]>, envelope: &[u8]) -> Result<Vec<u8>> {
        self.open_at(EnvelopeLocation::of(field, row.as_ref()), envelope)
    }

    /// Opens the envelope of a string of `field` of `row`.
    ///
    /// # Errors
    /// The errors of [`KeyRing::open_bytes`]; [`Error::Internal`] if the value is not UTF-8.
    pub fn open(&self, field: SealedField, row: impl AsRef<[u8]>, envelope: &[u8]) -> Result<String> {
        let bytes = self.open_bytes(field, row, envelope)?;
        let place = EnvelopeLocation::of(field, &[]);
        String::from_utf8(bytes).ok().ok_or_else(|| unreadable(place, "it is not valid UTF-8"))
    }

    /// The prefix of envelopes that are sealed with the active key.
    pub fn active_prefix(&self) -> EnvelopePrefix {
        let [a, b, c, d] = self.active.id;
        [SEALED, a, b, c, d]
    }

    fn open_at(&self, place: EnvelopeLocation<'_>, envelope: &[u8]) -> Result<Vec<u8>> {
        let sealed = match envelope.split_first() {
            Some((&SEALED, sealed)) => sealed,
            Some(_) | None => return Err(unreadable(place, "it is not an envelope")),
        };
        let short = || unreadable(place, "it is too short");
        let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or_else(short)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(short)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or_else(short)?;
        let authenticated = place.associated_data(*id);
        let mut known = false;
        // Ids are short, so two keys may have the same id.
        for key in std::iter::once(&self.active).chain(&self.retired).filter(|key| key.id == *id) {
            known = true;
            let mut plain = text.to_vec();
            let opened = key.cipher.decrypt_inout_detached(
                &XNonce::from(*nonce),
                &authenticated,
                plain.as_mut_slice().into(),
                &Tag::from(*tag),
            );
            if opened.is_ok() {
                return Ok(plain);
            }
        }
        let why = if known { "it was modified or moved" } else { "its key is not in the key ring" };
        Err(unreadable(place, why))
    }
}

fn unreadable(place: EnvelopeLocation<'_>, why: &str) -> Error {
    Error::internal(format_args!("an envelope of {place} cannot be opened: {why}"))
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &(1 + self.retired.len())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
