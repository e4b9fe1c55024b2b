//! Opaque secrets: refresh tokens, API keys and tickets.
//!
//! Each is 256 random bits. Only its SHA-256 is stored: nobody can guess the input of such a hash, so that a slow one, as
//! passwords need it, would cost time at every request and add nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::storage::api_keys::ApiKey;

/// Bytes of a secret, and of its digest.
pub(super) const BYTES: usize = 32;
/// Characters of a secret.
const CHARS: usize = 43;

/// A new secret, as text that fits into headers and URLs.
pub(super) fn generate(clock: &Clock) -> SecretString {
    URL_SAFE_NO_PAD.encode(clock.random_bytes::<BYTES>()).into()
}

/// What is stored of a secret; `None` of a text that cannot be one.
pub(super) fn digest(text: &str) -> Option<[u8; BYTES]> {
    (text.len() == CHARS && text.is_ascii()).then(|| Sha256::digest(text).into())
}

/// What a credential looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON Web Token: three parts.
    AccessToken,
    /// `aval_<identifier>_<secret>`
    ApiKey,
    /// A refresh token or a ticket.
    Opaque,
}

/// The kind of a credential by its form; `None` when it has the form of none.
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
    fn secrets_differ_and_only_texts_of_their_form_have_a_digest() {
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
