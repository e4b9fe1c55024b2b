//! Webhook signatures, which are verified over the raw bytes before a body is parsed (docs/specification.md, section
//! 6).
//!
//! Two schemes are supported. *Standard Webhooks* (standardwebhooks.com, version 1) signs `id.timestamp.body` with
//! HMAC-SHA256. It sends a list of signatures, which lets senders rotate their secrets, and its timestamp limits
//! replays. *Legacy* is the hex HMAC-SHA256 of the body. It has no timestamp, so its events have a maximum age instead
//! (`domain::confirmation`).
//!
//! Headers are untrusted. The identifier and the timestamp must have the format of the scheme and a limited length. One
//! valid `v1` signature is enough: signatures of other versions and malformed signatures are ignored, as in the reference
//! libraries of Standard Webhooks. Comparisons take constant time, and every signature in a header is compared regardless
//! of earlier results.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The supported version of signatures: HMAC-SHA256.
const VERSION: &str = "v1";
/// Block size of SHA-256, in bytes.
const BLOCK_BYTES: usize = 64;
/// The size of an HMAC-SHA256, in bytes.
const MAC_BYTES: usize = 32;
/// The maximum length of the list of signatures, in bytes. It limits the number of compared signatures to about forty.
const MAX_LIST_BYTES: usize = 2048;
/// The maximum length of a message's identifier, in bytes.
const MAX_ID_BYTES: usize = 128;
/// The maximum number of digits of a timestamp, which is enough for any relevant time.
const MAX_TIMESTAMP_DIGITS: usize = 15;
/// Prefix that some senders of the legacy scheme put before the hex digits.
const LEGACY_PREFIX: &str = "sha256=";

/// A key that signs and verifies. `Debug` masks it.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// A key from the bytes of a secret.
    pub fn new(secret: &[u8]) -> Self {
        // HMAC hashes keys that are longer than a block, and pads others (RFC 2104, section 2).
        let mut block = [0; BLOCK_BYTES];
        let hashed = Sha256::digest(secret);
        let key = if secret.len() > BLOCK_BYTES { hashed.as_slice() } else { secret };
        block.iter_mut().zip(key).for_each(|(to, byte)| *to = *byte);
        Self(Hmac::new(&block.into()))
    }

    /// The value of `webhook-signature` with a single signature.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mac = self.standard(id, &timestamp.to_string(), body).finalize().into_bytes();
        format!("{VERSION},{}", STANDARD.encode(mac))
    }

    /// The value of `X-Webhook-Signature`: lower-case hex digits without a prefix.
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

/// The signature of a message, parsed but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// Standard Webhooks.
    Standard(StandardSignature),
    /// `X-Webhook-Signature`.
    Legacy(LegacySignature),
}

impl Signature {
    /// Whether the signature was made with `key` for `body`.
    pub fn verifies(&self, key: &SigningKey, body: &[u8]) -> bool {
        match self {
            Self::Standard(signature) => signature.verifies(key, body),
            Self::Legacy(signature) => signature.verifies(key, body),
        }
    }

    /// Whether the timestamp is within `tolerance` of `now`. Always true for legacy signatures, which have none.
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
    /// As sent, because it is part of the signed text.
    timestamp: String,
    signatures: Vec<[u8; MAC_BYTES]>,
}

impl StandardSignature {
    /// Parses `webhook-id`, `webhook-timestamp` and `webhook-signature`. The identifier consists of 1 to 128 visible ASCII
    /// characters. It must not contain a full stop, which separates the parts of the signed text; otherwise one signature
    /// could be valid for two messages. The timestamp is a whole number of seconds. The list consists of entries
    /// `version,signature`, separated by spaces. At least one entry must be a well-formed version 1 signature; other
    /// entries are ignored.
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

    /// The message's identifier, which is the same for every delivery attempt.
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

/// Parses a version 1 signature.
fn read_entry(entry: &str) -> Option<[u8; MAC_BYTES]> {
    let encoded = entry.strip_prefix(VERSION)?.strip_prefix(',')?;
    STANDARD.decode(encoded).ok()?.try_into().ok()
}

/// The header of the legacy scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacySignature([u8; MAC_BYTES]);

impl LegacySignature {
    /// Parses 64 hex digits in upper or lower case, optionally with the prefix `sha256=`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(LEGACY_PREFIX).unwrap_or(text);
        let nibble = |character: char| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        // Reads one digit more than allowed, to reject longer strings.
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
