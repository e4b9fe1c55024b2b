//! Opaque secrets: refresh tokens, API keys and tickets.
//!
//! Each has 256 random bits, and only its SHA-256 hash is stored. A slow hash, as for passwords, would cost time on
//! every request without benefit, because such an input cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::storage::api_keys::ApiKey;

/// The length of a secret and of its digest, in bytes.
pub(super) const BYTES: usize = 32;
/// The length of a secret's text.
const CHARS: usize = 43;

/// A new secret, encoded for headers and URLs.
pub(super) fn generate(clock: &Clock) -> SecretString {
    URL_SAFE_NO_PAD.encode(clock.random_bytes::<BYTES>()).into()
}

/// The stored digest of a secret; `None` for a string that cannot be a secret.
pub(super) fn digest(text: &str) -> Option<[u8; BYTES]> {
    (text.len() == CHARS && text.is_ascii()).then(|| Sha256::digest(text).into())
}

/// The kinds of credential, which differ in format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON Web Token: three parts.
    AccessToken,
    /// `aval_<identifier>_<secret>`
    ApiKey,
    /// A refresh token or a ticket.
    Opaque,
}

/// The kind of a credential by its format; `None` if it matches none.
pub(super) fn kind(text: &str) -> Option<Kind> {
    if ApiKey::is_key(text) {
        Some(Kind::ApiKey)
    } else if text.split('.').count() == 3 {
        Some(Kind::AccessToken)
    } else {
        digest(text).is_some().then_some(Kind::Opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn secrets_are_unique_and_only_strings_of_their_format_have_a_digest() {
        let clock = Clock::system();
        let (one, two) = (generate(&clock), generate(&clock));
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert_ne!(digest(one.expose_secret()), digest(two.expose_secret()));
        assert!(digest(one.expose_secret()).is_some());
        assert_eq!(kind(one.expose_secret()), Some(Kind::Opaque));
        assert_eq!(kind("a.b.c"), Some(Kind::AccessToken));
        assert_eq!(kind("aval_1_2"), Some(Kind::ApiKey));
        assert_eq!((kind(""), kind("a.b"), kind("avalanche")), (None, None, None));
        for text in ["", "x", &"x".repeat(44), &"é".repeat(21)] {
            assert_eq!(digest(text), None, "{text}");
        }
    }
}
