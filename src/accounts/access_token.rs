//! Access tokens: JSON Web Tokens (RFC 7519), valid for one hour by default.
//!
//! Only the configured algorithm is accepted. The algorithm in the token's header must be the same and never selects
//! the algorithm (RFC 8725, section 3.1). A token only authenticates. The account's role and status are looked up on
//! each request ([`super::directory`]), so a token of a disabled account grants nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::signature;
use crate::clock::Clock;
use crate::config::AccountSettings;
use crate::domain::account::Role;
use crate::error::{CredentialFault, Error, Result};
use crate::storage::users::User;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    /// The id of the account.
    pub(super) sub: Uuid,
    /// The account's name and role when the token was issued, for clients only. The server looks up the current ones.
    pub(super) name: String,
    pub(super) role: Role,
    /// The account's token version.
    pub(super) ver: i64,
    /// The session, which is a family of refresh tokens. Absent in tokens that an operator created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<Uuid>,
    /// In seconds since 1970, like `nbf` and `exp`.
    pub(super) iat: i64,
    /// Aval issues no tokens with `nbf` but enforces it (RFC 7519, section 4.1.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    pub(super) exp: i64,
    pub(super) jti: Uuid,
}

impl Claims {
    pub(super) fn expires_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.exp, 0).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

/// Signs and verifies tokens.
pub(super) struct AccessTokens {
    header: Header,
    validation: Validation,
    signing: EncodingKey,
    verifying: DecodingKey,
    issuer: String,
    audience: String,
    leeway_s: i64,
    clock: Clock,
}

/// The longest lifetime of a token in seconds: one day, which also bounds `accounts.access_token_minutes` and `aval
/// token --minutes`. Aval issues no token with a longer lifetime.
const MAX_LIFETIME_S: i64 = 24 * 60 * 60;

impl AccessTokens {
    /// # Errors
    /// [`Error::Configuration`] if the key file is unusable.
    pub(super) fn new(settings: &AccountSettings, secret: &SecretString, clock: Clock) -> Result<Self> {
        signature::install();
        let (algorithm, signing, verifying) = if settings.signing_key_file.as_os_str().is_empty() {
            let secret = secret.expose_secret().as_bytes();
            (Algorithm::HS256, EncodingKey::from_secret(secret), DecodingKey::from_secret(secret))
        } else {
            let (signing, verifying) = ed25519(&settings.signing_key_file)?;
            (Algorithm::EdDSA, signing, verifying)
        };
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The expiry is checked with Aval's clock.
        validation.validate_exp = false;
        Ok(Self {
            header: Header::new(algorithm),
            validation,
            signing,
            verifying,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway_s: i64::from(settings.clock_leeway_s),
            clock,
        })
    }

    /// A token for `user` in its current state.
    ///
    /// # Errors
    /// [`Error::Internal`] if signing fails, which is a bug.
    pub(super) fn issue(&self, user: &User, session: Option<Uuid>, ttl: Duration) -> Result<SecretString> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user.id,
            name: user.username.clone(),
            role: user.role,
            ver: user.token_version,
            sid: session,
            iat: now,
            nbf: None,
            exp: now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
            jti: self.clock.new_uuid(),
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.signing);
        token.map(SecretString::from).map_err(Error::internal)
    }

    /// Verifies a token and returns its claims.
    ///
    /// # Errors
    /// The fault of a token that is not signed with this key, has a `crit` extension (none is supported; RFC 7515,
    /// section 4.1.11), is for another audience, is not valid yet, or has expired. Faults about times are only reported
    /// for valid signatures.
    pub(super) fn verify(&self, token: &str) -> Result<Claims, CredentialFault> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation);
        let claims = decoded.map_err(|error| fault(error.kind()))?.claims;
        if has_critical_extensions(token) {
            return Err(CredentialFault::Unproven);
        }
        self.check_times(&claims)?;
        Ok(claims)
    }

    /// Compares whole seconds and saturates, because the sender may send any `i64`.
    fn check_times(&self, claims: &Claims) -> Result<(), CredentialFault> {
        let now = self.clock.now().timestamp();
        let latest = now.saturating_add(self.leeway_s);
        if now >= claims.exp.saturating_add(self.leeway_s) {
            return Err(CredentialFault::Expired);
        }
        let is_early = claims.iat > latest || claims.nbf.is_some_and(|not_before| not_before > latest);
        let lifetime = claims.exp.saturating_sub(claims.iat);
        if is_early || lifetime > MAX_LIFETIME_S { Err(CredentialFault::Unproven) } else { Ok(()) }
    }
}

/// Whether the header of a decoded token has the member `crit` with any value. The decoder treats `null` as absent.
fn has_critical_extensions(token: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Crit<'a> {
        #[serde(borrow)]
        crit: &'a serde_json::value::RawValue,
    }

    let header = token.split('.').next().unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<Crit<'_>>(&json).is_ok_and(|header| !header.crit.get().is_empty())
}

/// The fault for a decoding error. All kinds of errors not listed here count as an invalid credential.
fn fault(kind: &ErrorKind) -> CredentialFault {
    match kind {
        ErrorKind::InvalidToken
        | ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::Base64(_)
        | ErrorKind::Json(_)
        | ErrorKind::Utf8(_) => CredentialFault::Malformed,
        _ => CredentialFault::Unproven,
    }
}

fn ed25519(file: &std::path::Path) -> Result<(EncodingKey, DecodingKey)> {
    let unusable = |cause: &dyn std::fmt::Display| {
        Error::configuration(format_args!("accounts.signing_key_file {}: {cause}", file.display()))
    };
    let key = PrivatePkcs8KeyDer::from_pem_file(file).map_err(|error| unusable(&error))?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
    let pair = pair.map_err(|rejected| unusable(&format_args!("not an Ed25519 key ({rejected})")))?;
    let verifying = DecodingKey::from_ed_der(pair.public_key().as_ref());
    Ok((EncodingKey::from_ed_der(key.secret_pkcs8_der()), verifying))
}

#[cfg(test)]
mod tests;
