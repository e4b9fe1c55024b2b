//! Every place that holds envelopes: the one list that sealing, opening and `aval reencrypt` go by.

use std::fmt;

use super::KEY_ID_BYTES;

/// A column that holds envelopes. A new one is a line of [`SealedField::place`] and a name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedField {
    /// The applicant's name.
    FullName,
    /// The applicant's document.
    IdentityDocument,
    /// The applicant's birth date.
    BirthDate,
    /// An answer that is kept to be given again.
    IdempotentReply,
    /// What a bureau or a bank posted.
    WebhookPayload,
}

/// The column that names a row, and how its value stands in the authenticated place of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKey {
    /// A UUID: its 16 bytes.
    Uuid(&'static str),
    /// Bytes as they are.
    Bytes(&'static str),
}

impl SealedField {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::FullName,
        Self::IdentityDocument,
        Self::BirthDate,
        Self::IdempotentReply,
        Self::WebhookPayload,
    ];

    /// Table, column and the table's key.
    pub const fn place(self) -> (&'static str, &'static str, RowKey) {
        match self {
            Self::FullName => ("applications", "full_name", RowKey::Uuid("id")),
            Self::IdentityDocument => ("applications", "identity_document", RowKey::Uuid("id")),
            Self::BirthDate => ("applications", "birth_date", RowKey::Uuid("id")),
            Self::IdempotentReply => ("idempotency_keys", "reply", RowKey::Bytes("key_digest")),
            Self::WebhookPayload => ("webhook_events", "payload", RowKey::Uuid("id")),
        }
    }
}

impl fmt::Display for SealedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, column, _) = self.place();
        write!(f, "{table}.{column}")
    }
}

/// Where an envelope is, as the bytes that are authenticated with it. Each part that can vary in length has its length
/// before it, so that no two places have the same bytes.
pub(super) fn associated_data(field: SealedField, row: &[u8], key: [u8; KEY_ID_BYTES]) -> Vec<u8> {
    let (table, column, _) = field.place();
    let mut data = Vec::with_capacity(80);
    for part in [b"aval.sealed.v1".as_slice(), table.as_bytes(), column.as_bytes(), row] {
        append(&mut data, part);
    }
    data.extend_from_slice(&key);
    data
}

/// Appends a part after its length.
pub(super) fn append(data: &mut Vec<u8>, part: &[u8]) {
    let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
    data.extend_from_slice(&length.to_be_bytes());
    data.extend_from_slice(part);
}
