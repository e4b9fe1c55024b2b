//! The envelopes that personal data is stored in, and the keys that open them.
//!
//! Names, documents, birth dates and whatever repeats them are sealed here, before the database sees them: neither a key
//! nor a plain text is ever part of a statement, so that neither is in the database's log, its statistics, its backups or
//! its replicas. An envelope is
//!
//! ```text
//! 1 byte kind (1) | 4 bytes key id | 24 bytes nonce | ciphertext and its 16 bytes of authentication
//! ```
//!
//! sealed by XChaCha20-Poly1305. Nonces are random: with 192 bits two instances never need to agree on a counter. They come
//! from the operating system and not from [`Clock`](crate::clock::Clock), because a nonce must differ even where a
//! process or a whole machine is copied while it runs, and because nothing that a test can set may ever repeat one. Table,
//! column, row and key id are authenticated with the text, each with its length, so that an envelope opens nowhere but
//! where it was sealed: whoever can write to the database can destroy data, but can neither forge a name nor move one
//! person's to another's row.
//!
//! What this does not hide: that two envelopes of one column have texts of different length; when a row was written;
//! which rows belong to one document, which is what the blind index is for ([`KeyRing::document_index`]); anything from
//! whoever holds the keys, which is every running instance; the members of `country_specific_data` that are not declared
//! personal.
//!
//! A key ring has several keys: the first seals, each opens. To change keys, every instance first learns the new key behind
//! the old one, then seals with it, and `aval reencrypt` ([`crate::storage::reencrypt`]) seals again what the old one
//! sealed; then the old one goes.

mod document_index;
mod place;

use std::fmt;

use chacha20poly1305::aead::{AeadInOut as _, Generate as _, KeyInit as _};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::Hmac;
use sha2::Sha256;

pub use self::document_index::DocumentIndex;
use self::place::EnvelopeLocation;
pub use self::place::{RowKey, SealedField};
use crate::config::Secrets;
use crate::error::{Error, Result};

const SEALED: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What stands before the ciphertext.
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// What an envelope begins with: its kind and the key that sealed it.
pub type EnvelopePrefix = [u8; 1 + KEY_ID_BYTES];

struct RingKey {
    id: [u8; KEY_ID_BYTES],
    cipher: XChaCha20Poly1305,
}

/// The keys. Wiped from memory when dropped.
pub struct KeyRing {
    active: RingKey,
    retired: Vec<RingKey>,
    /// Keyed and ready to be copied for each document.
    index: Hmac<Sha256>,
}

impl KeyRing {
    /// The ring of a deployment's secrets.
    ///
    /// # Errors
    /// As [`KeyRing::new`].
    pub fn of(secrets: &Secrets) -> Result<Self> {
        let sealing = secrets.sealing.iter().map(|key| (key.id, key.expose()));
        Self::new(sealing, secrets.index.expose())
    }

    /// A ring of `sealing` keys, each with its id: the first seals, all open. `index` is the blind index's own.
    ///
    /// # Errors
    /// [`Error::Configuration`] without any key.
    pub fn new<'a>(
        sealing: impl IntoIterator<Item = ([u8; KEY_ID_BYTES], &'a [u8; 32])>,
        index: &[u8; 32],
    ) -> Result<Self> {
        let ring_key = |(id, key): ([u8; KEY_ID_BYTES], &[u8; 32])| {
            XChaCha20Poly1305::new_from_slice(key).ok().map(|cipher| RingKey { id, cipher })
        };
        let mut keys = sealing.into_iter().map(ring_key);
        let unusable = || Error::configuration("secrets.encryption (ENCRYPTION_KEY) must have a key");
        let active = keys.next().flatten().ok_or_else(unusable)?;
        let retired = keys.collect::<Option<_>>().ok_or_else(unusable)?;
        let index = document_index::keyed(index).ok_or_else(unusable)?;
        Ok(Self { active, retired, index })
    }

    /// Seals `plain` for `field` of `row`.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system has no randomness, or for more than 256 GiB.
    pub fn seal_bytes(&self, field: SealedField, row: impl AsRef<[u8]>, plain: &[u8]) -> Result<Vec<u8>> {
        self.seal_at(EnvelopeLocation::of(field, row.as_ref()), plain)
    }

    /// Seals what is kept outside the database, under `key`.
    ///
    /// # Errors
    /// As [`KeyRing::seal_bytes`].
    pub fn seal_copy(&self, key: &str, plain: &[u8]) -> Result<Vec<u8>> {
        self.seal_at(EnvelopeLocation::copy(key.as_bytes()), plain)
    }

    /// Opens what is kept outside the database, under `key`.
    ///
    /// # Errors
    /// As [`KeyRing::open_bytes`].
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
    /// As [`KeyRing::seal_bytes`].
    pub fn seal(&self, field: SealedField, row: impl AsRef<[u8]>, text: &str) -> Result<Vec<u8>> {
        self.seal_bytes(field, row, text.as_bytes())
    }

    /// Opens the envelope of `field` of `row`.
    ///
    /// # Errors
    /// [`Error::Internal`] for an envelope of an unknown kind or key, of another place, or that was changed.
    pub fn open_bytes(&self, field: SealedField, row: impl AsRef<[u8]>, envelope: &[u8]) -> Result<Vec<u8>> {
        self.open_at(EnvelopeLocation::of(field, row.as_ref()), envelope)
    }

    /// Opens the envelope of a text of `field` of `row`.
    ///
    /// # Errors
    /// As [`KeyRing::open_bytes`], and for what is no UTF-8.
    pub fn open(&self, field: SealedField, row: impl AsRef<[u8]>, envelope: &[u8]) -> Result<String> {
        let bytes = self.open_bytes(field, row, envelope)?;
        let place = EnvelopeLocation::of(field, &[]);
        String::from_utf8(bytes).ok().ok_or_else(|| unopened(place, "it holds no text"))
    }

    /// What every envelope begins with that needs no new one.
    pub fn active_prefix(&self) -> EnvelopePrefix {
        let [a, b, c, d] = self.active.id;
        [SEALED, a, b, c, d]
    }

    fn open_at(&self, place: EnvelopeLocation<'_>, envelope: &[u8]) -> Result<Vec<u8>> {
        let sealed = match envelope.split_first() {
            Some((&SEALED, sealed)) => sealed,
            Some(_) | None => return Err(unopened(place, "it is not an envelope")),
        };
        let short = || unopened(place, "it is too short");
        let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or_else(short)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(short)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or_else(short)?;
        let authenticated = place.associated_data(*id);
        let mut known = false;
        // Ids are short: two keys may share one.
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
        let why = if known { "it was changed or moved" } else { "its key is not in the key ring" };
        Err(unopened(place, why))
    }
}

fn unopened(place: EnvelopeLocation<'_>, why: &str) -> Error {
    Error::internal(format_args!("an envelope of {place} cannot be opened: {why}"))
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &(1 + self.retired.len())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
