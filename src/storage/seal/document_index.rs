//! The blind index: documents can be looked for without being readable.
//!
//! It is a keyed hash, cut to 128 bits, behind the id of its key. Equal documents of one country have equal entries,
//! and that is what it gives away: who reads the table learns which applications are one person's, not whose. Without
//! the key nothing can be tried, although documents are few enough to be listed; with the key everything can, which is why
//! it is a secret of its own, apart from the keys that seal.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{KEY_ID_BYTES, KeyRing, place};
use crate::domain::application::Country;
use crate::domain::personal_data::IdentityDocument;

/// Bytes of the hash that are kept: with 2^32 documents two share an entry by chance once in 2^65.
const HASH_BYTES: usize = 16;

/// An entry of the blind index: 4 bytes of the key's id, 16 of the hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DocumentIndex([u8; KEY_ID_BYTES + HASH_BYTES]);

impl DocumentIndex {
    /// As it stands in `applications.document_index`.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DocumentIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentIndex(****)")
    }
}

impl KeyRing {
    /// The entry of a document, which its country's rules have normalised.
    pub fn document_index(&self, country: Country, document: &IdentityDocument) -> DocumentIndex {
        let hash = self.keyed_hash("document", &[country.code().as_bytes(), document.reveal().as_bytes()]);
        let bytes = self.index_prefix().into_iter().chain(hash);
        let mut entry = [0; KEY_ID_BYTES + HASH_BYTES];
        entry.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        DocumentIndex(entry)
    }

    /// What every entry begins with that was made with this ring's key.
    pub fn index_prefix(&self) -> [u8; KEY_ID_BYTES] {
        let [a, b, c, d, ..] = self.keyed_hash("key-id", &[]);
        [a, b, c, d]
    }

    /// A hash that nobody can compute without the index key: HMAC-SHA256 of `parts`, each with its length. Hashes for
    /// different purposes have nothing in common.
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

/// The hash function with its key.
pub(super) fn keyed(key: &[u8; 32]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}
