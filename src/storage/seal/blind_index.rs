//! The blind index, which makes values searchable without making them readable.
//!
//! An entry is the id of the key followed by a keyed hash, truncated to 128 bits. Equal documents of one country have
//! equal entries, so a reader of the table learns which applications belong to the same person, but not who it is. The
//! same is true of the e-mail addresses of accounts. The number of possible documents is small enough to enumerate, so
//! anyone with the key can test all of them. Therefore the index key is separate from the sealing keys.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{KEY_ID_BYTES, KeyRing, place};
use crate::domain::application::Country;
use crate::domain::personal_data::{Email, IdentityDocument};

/// The length of the truncated hash in bytes. Among 2^32 documents, the probability of any collision is about 2^-65.
const HASH_BYTES: usize = 16;

/// An entry of the blind index: 4 bytes of the key id and 16 bytes of the hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlindIndex([u8; KEY_ID_BYTES + HASH_BYTES]);

impl BlindIndex {
    /// The bytes, as stored.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlindIndex(****)")
    }
}

impl KeyRing {
    /// The entry of a document, which must be normalized by its country's rules.
    pub fn document_index(&self, country: Country, document: &IdentityDocument) -> BlindIndex {
        self.entry("document", &[country.code().as_bytes(), document.reveal().as_bytes()])
    }

    /// The entry of an e-mail address, regardless of its case.
    pub fn email_index(&self, email: &Email) -> BlindIndex {
        self.entry("email", &[email.normalized().as_bytes()])
    }

    fn entry(&self, purpose: &str, parts: &[&[u8]]) -> BlindIndex {
        let bytes = self.index_prefix().into_iter().chain(self.keyed_hash(purpose, parts));
        let mut entry = [0; KEY_ID_BYTES + HASH_BYTES];
        entry.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        BlindIndex(entry)
    }

    /// The prefix of every entry made with this ring's index key.
    pub fn index_prefix(&self) -> [u8; KEY_ID_BYTES] {
        let [a, b, c, d, ..] = self.keyed_hash("key-id", &[]);
        [a, b, c, d]
    }

    /// HMAC-SHA256 of `parts` with the index key, each part prefixed with its length. Hashes for different purposes are
    /// independent.
    pub fn keyed_hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut data = Vec::with_capacity(96);
        place::append(&mut data, b"aval.index.v1");
        place::append(&mut data, purpose.as_bytes());
        for part in parts {
            place::append(&mut data, part);
        }
        self.index.clone().chain_update(&data).finalize().into_bytes().into()
    }
}

/// HMAC-SHA256 with `key`. HMAC accepts keys of every length, so the result is never `None`.
pub(super) fn keyed(key: &[u8; 32]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}
