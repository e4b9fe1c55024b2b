//! The list of all sealed columns, which sealing, opening and `aval reencrypt` share.

use std::fmt;

use super::KEY_ID_BYTES;

/// A sealed column. A new column needs a variant, and a line in [`SealedField::ALL`] and in [`SealedField::place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedField {
    FullName,
    IdentityDocument,
    BirthDate,
    /// The personal members of the country data.
    PersonalData,
    /// A stored response for an idempotency key.
    IdempotentReply,
    /// The payload of a webhook from a bureau or bank.
    WebhookPayload,
    /// The client's address in a security event.
    SecurityEventAddress,
    /// The address of the client that a refresh token was issued to.
    SessionAddress,
    /// The full name of a person with an account.
    AccountName,
    /// The e-mail address of a person with an account.
    AccountEmail,
    /// The secret that signs the deliveries to a webhook endpoint.
    WebhookSecret,
    /// The beginning of a webhook endpoint's response.
    WebhookResponse,
    /// Where a disbursement is paid to.
    Destination,
}

/// The key column of a table, and how its value is encoded in the associated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKey {
    /// A UUID, as its 16 bytes.
    Uuid(&'static str),
    /// Bytes, unchanged.
    Bytes(&'static str),
}

impl SealedField {
    pub const ALL: [Self; 13] = [
        Self::FullName,
        Self::IdentityDocument,
        Self::BirthDate,
        Self::PersonalData,
        Self::IdempotentReply,
        Self::WebhookPayload,
        Self::SecurityEventAddress,
        Self::SessionAddress,
        Self::AccountName,
        Self::AccountEmail,
        Self::WebhookSecret,
        Self::WebhookResponse,
        Self::Destination,
    ];

    /// Table, column and the table's key.
    pub const fn place(self) -> (&'static str, &'static str, RowKey) {
        match self {
            Self::FullName => ("applications", "full_name", RowKey::Uuid("id")),
            Self::IdentityDocument => ("applications", "identity_document", RowKey::Uuid("id")),
            Self::BirthDate => ("applications", "birth_date", RowKey::Uuid("id")),
            Self::PersonalData => ("applications", "personal_data", RowKey::Uuid("id")),
            Self::IdempotentReply => ("idempotency_keys", "reply", RowKey::Bytes("key_digest")),
            Self::WebhookPayload => ("webhook_events", "payload", RowKey::Uuid("id")),
            Self::SecurityEventAddress => ("security_events", "address", RowKey::Uuid("origin_id")),
            Self::SessionAddress => ("refresh_tokens", "address", RowKey::Uuid("id")),
            Self::AccountName => ("account_contacts", "name", RowKey::Uuid("user_id")),
            Self::AccountEmail => ("account_contacts", "email", RowKey::Uuid("user_id")),
            Self::WebhookSecret => ("webhook_secrets", "secret", RowKey::Uuid("id")),
            Self::Destination => {
                ("disbursement_destinations", "destination", RowKey::Uuid("disbursement_id"))
            }
            Self::WebhookResponse => ("webhook_attempts", "response", RowKey::Uuid("id")),
        }
    }
}

impl SealedField {
    /// The sealed column of `applications` with this name.
    pub fn of_application(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| {
            let (table, name, _) = field.place();
            table == "applications" && name == column
        })
    }
}

impl fmt::Display for SealedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, column, _) = self.place();
        write!(f, "{table}.{column}")
    }
}

/// The location that an envelope is bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct EnvelopeLocation<'a> {
    table: &'static str,
    column: &'static str,
    row: &'a [u8],
}

impl<'a> EnvelopeLocation<'a> {
    pub(super) const fn of(field: SealedField, row: &'a [u8]) -> Self {
        let (table, column, _) = field.place();
        Self { table, column, row }
    }

    /// The location of a value outside the database. No table is named `redis`.
    pub(super) const fn copy(key: &'a [u8]) -> Self {
        Self { table: "redis", column: "value", row: key }
    }

    /// The associated data of an envelope. Parts of variable length are prefixed with their length, so different
    /// locations never have the same bytes.
    pub(super) fn associated_data(self, key: [u8; KEY_ID_BYTES]) -> Vec<u8> {
        let mut data = Vec::with_capacity(80);
        for part in [b"aval.sealed.v1".as_slice(), self.table.as_bytes(), self.column.as_bytes(), self.row] {
            append(&mut data, part);
        }
        data.extend_from_slice(&key);
        data
    }
}

impl fmt::Display for EnvelopeLocation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.column)
    }
}

/// Appends a part, prefixed with its length.
pub(super) fn append(data: &mut Vec<u8>, part: &[u8]) {
    let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
    data.extend_from_slice(&length.to_be_bytes());
    data.extend_from_slice(part);
}
