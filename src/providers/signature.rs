//! Signatures of webhooks. They are verified over the raw bytes before the body is parsed (docs/specification.md 6).
//!
//! Two schemes are known. *Standard Webhooks* (standardwebhooks.com, version 1) signs `id.timestamp.body` with
//! HMAC-SHA256 and sends a list of signatures, so that a sender can rotate its secret; the timestamp bounds how long a
//! recorded request can be replayed. *Legacy* is the hex HMAC-SHA256 of the body alone; it knows no time, which is why
//! its events have a greatest age of their own (`domain::confirmation`).
//!
//! Headers are untrusted input. Identifier and timestamp must be exactly what the scheme says, within bounds. In the list of
//! signatures, entries of other versions and malformed entries are ignored, as the reference libraries of Standard
//! Webhooks do: a sender may add new kinds of signature, and one valid `v1` entry is enough. Comparisons take the same time wherever two signatures differ, and every signature of a header is
//! compared whatever came of the ones before it.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The one version of the list's entries that is known: HMAC-SHA256.
const VERSION: &str = "v1";
/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// Bytes of an HMAC-SHA256.
const MAC_BYTES: usize = 32;
/// Longest list, in bytes. It bounds the number of signatures that are compared to about forty.
const MAX_LIST_BYTES: usize = 2048;
/// Longest identifier of a message, in bytes.
const MAX_ID_BYTES: usize = 128;
/// Most digits of a timestamp; it reaches far beyond any that is timely.
const MAX_TIMESTAMP_DIGITS: usize = 15;
/// What some senders of the legacy scheme write before the hex digits.
const LEGACY_PREFIX: &str = "sha256=";

/// A key that signs and verifies. It cannot be printed.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// The key of a secret's bytes.
    pub fn new(secret: &[u8]) -> Self {
        // HMAC hashes a key that is longer than a block, and takes any other as it is (RFC 2104, section 2).
        let mut block = [0; BLOCK_BYTES];
        let hashed = Sha256::digest(secret);
        let key = if secret.len() > BLOCK_BYTES { hashed.as_slice() } else { secret };
        block.iter_mut().zip(key).for_each(|(to, byte)| *to = *byte);
        Self(Hmac::new(&block.into()))
    }

    /// The value of `webhook-signature` for a message with one signature.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mac = self.standard(id, &timestamp.to_string(), body).finalize().into_bytes();
        format!("{VERSION},{}", STANDARD.encode(mac))
    }

    /// The value of `X-Webhook-Signature`: lower-case hex digits, without a prefix.
    pub fn sign_legacy(&self, body: &[u8]) -> String {
        self.legacy(body).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn standard(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mac = self.0.clone();
        mac.chain_update(id).chain_update(".").chain_update(timestamp).chain_update(".").chain_update(body)
    }

    fn legacy(&self, body: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(body)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(****)")
    }
}

/// The signature that came with a message, read but not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// Standard Webhooks.
    Standard(StandardSignature),
    /// `X-Webhook-Signature`.
    Legacy(LegacySignature),
}

impl Signature {
    /// Whether `key` made it for `body`.
    pub fn verifies(&self, key: &SigningKey, body: &[u8]) -> bool {
        match self {
            Self::Standard(signature) => signature.verifies(key, body),
            Self::Legacy(signature) => signature.verifies(key, body),
        }
    }

    /// Whether it was made no longer than `tolerance` ago, and not further ahead. Legacy signatures know no time.
    pub fn is_timely(&self, now: DateTime<Utc>, tolerance: Duration) -> bool {
        match self {
            Self::Standard(signature) => signature.is_timely(now, tolerance),
            Self::Legacy(_) => true,
        }
    }
}

/// The three headers of Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandardSignature {
    id: String,
    /// As it was sent, because it is part of what is signed.
    timestamp: String,
    signatures: Vec<[u8; MAC_BYTES]>,
}

impl StandardSignature {
    /// Reads `webhook-id`, `webhook-timestamp` and `webhook-signature`. An identifier is 1 to 128 visible ASCII
    /// characters without a full stop, which would let one signature stand for two messages. A timestamp is a whole
    /// number of seconds. The list has entries `version,signature` separated by spaces. Entries that are not a well-formed
    /// signature of version 1 are ignored; at least one must be well-formed.
    pub fn parse(id: &str, timestamp: &str, list: &str) -> Option<Self> {
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
        let is_id = !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(visible);
        let is_time = !timestamp.is_empty()
            && timestamp.len() <= MAX_TIMESTAMP_DIGITS
            && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        if !is_id || !is_time || list.len() > MAX_LIST_BYTES {
            return None;
        }
        let signatures: Vec<_> = list.split_ascii_whitespace().filter_map(read_entry).collect();
        let (id, timestamp) = (id.to_owned(), timestamp.to_owned());
        (!signatures.is_empty()).then_some(Self { id, timestamp, signatures })
    }

    /// The message's identifier: the same at every try of its sender.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn verifies(&self, key: &SigningKey, body: &[u8]) -> bool {
        let mac = key.standard(&self.id, &self.timestamp, body);
        let matching =
            self.signatures.iter().filter(|signature| mac.clone().verify_slice(*signature).is_ok());
        matching.count() > 0
    }

    fn is_timely(&self, now: DateTime<Utc>, tolerance: Duration) -> bool {
        let sent: Option<i64> = self.timestamp.parse().ok();
        let apart = sent.map(|sent| now.timestamp().abs_diff(sent));
        apart.is_some_and(|seconds| seconds <= tolerance.as_secs())
    }
}

/// The signature of a well-formed entry of version 1.
fn read_entry(entry: &str) -> Option<[u8; MAC_BYTES]> {
    let encoded = entry.strip_prefix(VERSION)?.strip_prefix(',')?;
    STANDARD.decode(encoded).ok()?.try_into().ok()
}

/// The header of the legacy scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacySignature([u8; MAC_BYTES]);

impl LegacySignature {
    /// Reads 64 hex digits of either case, with or without `sha256=` before them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(LEGACY_PREFIX).unwrap_or(text);
        let nibble = |character: char| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        // A 65th digit would be looked at and refused; nothing longer is read.
        let nibbles: Vec<u8> = digits.chars().take(2 * MAC_BYTES + 1).map(nibble).collect::<Option<_>>()?;
        let (pairs, rest) = nibbles.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        bytes.try_into().ok().filter(|_| rest.is_empty()).map(Self)
    }

    fn verifies(&self, key: &SigningKey, body: &[u8]) -> bool {
        key.legacy(body).verify_slice(&self.0).is_ok()
    }
}

#[cfg(test)]
mod tests;
