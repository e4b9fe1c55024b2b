//! Signatures of deliveries and the secrets that make them (Standard Webhooks 1.0).
//!
//! The signed text is `<webhook-id>.<webhook-timestamp>.<body>`. `v1` is HMAC-SHA256 with a shared secret (`whsec_…`).
//! `v1a` is ed25519: Aval keeps the seed of the key pair, and the receiver only needs the public key (`whpk_…`). While a
//! secret is rotated, `webhook-signature` contains a signature for each valid secret, separated by spaces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::domain::delivery::Algorithm;
use crate::error::{Error, Result};
use crate::providers::signature::SigningKey;
use crate::storage::deliveries::endpoints::EndpointSecret;

/// The length of a shared secret and of an ed25519 seed, in bytes.
const SECRET_BYTES: usize = 32;
const HMAC_PREFIX: &str = "whsec_";
const PUBLIC_KEY_PREFIX: &str = "whpk_";

/// Generates a secret.
///
/// # Errors
/// [`Error::Internal`] if the key pair cannot be computed, which does not happen.
pub(super) fn generate(clock: &Clock, algorithm: Algorithm) -> Result<EndpointSecret> {
    let secret = Zeroizing::new(clock.random_bytes::<SECRET_BYTES>().to_vec());
    let public_key = match algorithm {
        Algorithm::Hmac => None,
        Algorithm::Ed25519 => {
            let public = key_pair(&secret)?.public_key().as_ref().to_vec();
            Some(format!("{PUBLIC_KEY_PREFIX}{}", STANDARD.encode(public)))
        }
    };
    let (id, created_at) = (clock.new_uuid(), clock.now());
    Ok(EndpointSecret { id, algorithm, secret, public_key, created_at, expires_at: None })
}

/// The text of a shared secret for the receiver; `None` for ed25519, whose secret never leaves Aval.
pub fn shared_text(secret: &EndpointSecret) -> Option<SecretString> {
    match secret.algorithm {
        Algorithm::Hmac => Some(format!("{HMAC_PREFIX}{}", STANDARD.encode(&*secret.secret)).into()),
        Algorithm::Ed25519 => None,
    }
}

fn key_pair(seed: &[u8]) -> Result<Ed25519KeyPair> {
    let rejected = |error| Error::internal(format_args!("an ed25519 seed was rejected: {error}"));
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(rejected)
}

/// The value of `webhook-signature`: one signature for each secret.
///
/// # Errors
/// [`Error::Internal`] if a secret is not a key of its algorithm.
pub(super) fn sign(secrets: &[EndpointSecret], id: &str, time: DateTime<Utc>, body: &[u8]) -> Result<String> {
    let timestamp = time.timestamp();
    let sign_with = |secret: &EndpointSecret| match secret.algorithm {
        Algorithm::Hmac => Ok(SigningKey::new(&secret.secret).sign(id, timestamp, body)),
        Algorithm::Ed25519 => {
            let text = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
            let signature = key_pair(&secret.secret)?.sign(&text);
            Ok(format!("{},{}", Algorithm::Ed25519.as_str(), STANDARD.encode(signature)))
        }
    };
    Ok(secrets.iter().map(sign_with).collect::<Result<Vec<_>>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};
    use secrecy::ExposeSecret as _;

    use super::*;

    fn secret(algorithm: Algorithm, bytes: Vec<u8>) -> EndpointSecret {
        EndpointSecret { secret: bytes.into(), ..generate(&Clock::system(), algorithm).unwrap() }
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn an_hmac_signature_is_that_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let time = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let signature = sign(
            &[secret(Algorithm::Hmac, key)],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            time,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_makes_its_own_signature_and_ed25519_verifies_with_the_public_key() {
        let clock = Clock::system();
        let new = generate(&clock, Algorithm::Ed25519).unwrap();
        let old = generate(&clock, Algorithm::Hmac).unwrap();
        let signatures = sign(&[new.clone(), old.clone()], "id", DateTime::UNIX_EPOCH, b"{}").unwrap();
        let (first, second) = signatures.split_once(' ').unwrap();
        let signature = STANDARD.decode(first.strip_prefix("v1a,").unwrap()).unwrap();
        let text = new.public_key.as_deref().unwrap().strip_prefix("whpk_").unwrap();
        let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(text).unwrap());
        assert!(public.verify(b"id.0.{}", &signature).is_ok());
        assert!(public.verify(b"id.1.{}", &signature).is_err());
        assert_eq!(second, SigningKey::new(&old.secret).sign("id", 0, b"{}"));
        assert!(shared_text(&new).is_none());
        assert!(shared_text(&old).unwrap().expose_secret().starts_with("whsec_"));
    }
}
