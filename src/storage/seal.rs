//! The envelope that personal data is stored in.
//!
//! The first byte names the envelope's kind, so that rows of different kinds can stand side by side while they are
//! converted. Kind 0 is not encrypted: it is what Aval writes until its key ring exists, which is why it serves loopback
//! alone. The field and the row are part of every call, because an authenticated envelope is bound to its place.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::personal_data::IdentityDocument;
use crate::error::{Error, Result};

/// A column that holds an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedField {
    /// `applications.full_name`
    FullName,
    /// `applications.identity_document`
    IdentityDocument,
    /// `idempotency_keys.reply`
    IdempotentReply,
}

impl SealedField {
    const fn column(self) -> &'static str {
        match self {
            Self::FullName => "applications.full_name",
            Self::IdentityDocument => "applications.identity_document",
            Self::IdempotentReply => "idempotency_keys.reply",
        }
    }
}

const PLAIN: u8 = 0;

/// Puts `text` into an envelope for `field` of `row`.
pub fn seal(_field: SealedField, _row: Uuid, text: &str) -> Vec<u8> {
    let mut envelope = Vec::with_capacity(text.len() + 1);
    envelope.push(PLAIN);
    envelope.extend_from_slice(text.as_bytes());
    envelope
}

/// Opens the envelope of `field` of `row`.
///
/// # Errors
/// [`Error::Internal`] for an envelope of an unknown kind or with a broken text.
pub fn open(field: SealedField, row: Uuid, envelope: &[u8]) -> Result<String> {
    let broken = || Error::internal(format_args!("{} of {row} cannot be opened", field.column()));
    match envelope.split_first() {
        Some((&PLAIN, text)) => String::from_utf8(text.to_vec()).ok().ok_or_else(broken),
        _ => Err(broken()),
    }
}

/// The keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyRing;

/// An entry of the blind index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DocumentIndex([u8; 32]);

impl DocumentIndex {
    /// As it stands in its column.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl KeyRing {
    /// The entry of a document.
    pub fn document_index(&self, country: Country, document: &IdentityDocument) -> DocumentIndex {
        DocumentIndex(self.keyed_hash("document", &[country.code().as_bytes(), document.reveal().as_bytes()]))
    }

    /// A hash of `parts`.
    pub fn keyed_hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [purpose.as_bytes()].iter().chain(parts) {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// Seals `plain` for `field` of `row`.
    ///
    /// # Errors
    /// None yet.
    pub fn seal_bytes(&self, _field: SealedField, _row: impl AsRef<[u8]>, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(plain.to_vec())
    }

    /// Opens an envelope.
    ///
    /// # Errors
    /// None yet.
    pub fn open_bytes(
        &self,
        _field: SealedField,
        _row: impl AsRef<[u8]>,
        envelope: &[u8],
    ) -> Result<Vec<u8>> {
        Ok(envelope.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_opens_to_what_was_sealed_and_a_broken_one_is_told_by_its_place_alone() {
        let row = Uuid::from_u128(7);
        let envelope = seal(SealedField::FullName, row, "Ana");
        assert_eq!(open(SealedField::FullName, row, &envelope).unwrap(), "Ana");
        for broken in [&[][..], &[9, b'A'], &[0, 0xff]] {
            let error = open(SealedField::FullName, row, broken).unwrap_err();
            assert!(error.private_cause().unwrap().contains("applications.full_name"));
        }
    }
}
