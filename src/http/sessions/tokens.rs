//! Session tokens in responses, with member names as in OAuth 2.0 (RFC 6749, section 5.1).

use actix_web::HttpResponse;
use actix_web::http::header;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::accounts::{TokenPair, check_password_length};
use crate::json::{Refusal, string};

/// Maximum length of a secret in a request, in characters. Normalized passwords have at most 128, but the same password
/// may be longer before normalization.
const MAX_SECRET_CHARS: usize = 512;

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
pub struct SessionTokens {
    /// The access token, for the header `Authorization: Bearer …`.
    #[schema(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.abc")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(value_type = crate::http::schemas::TokenType, example = "Bearer")]
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    #[schema(example = 3600)]
    expires_in: u64,
    /// The refresh token. It can be used once; the refresh returns a new one.
    #[schema(example = "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA")]
    refresh_token: String,
    /// Lifetime of the refresh token in seconds.
    #[schema(example = 604800)]
    refresh_expires_in: u64,
}

/// The response with tokens, which must not be cached.
pub(super) fn respond(pair: &TokenPair) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(SessionTokens {
        access_token: pair.access_token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: pair.access_ttl.as_secs(),
        refresh_token: pair.refresh_token.expose_secret().to_owned(),
        refresh_expires_in: pair.refresh_ttl.as_secs(),
    })
}

/// Reads a new password.
pub(in crate::http) fn new_password(raw: &RawValue) -> Result<SecretString, Refusal> {
    let password = SecretString::from(string(raw)?);
    match check_password_length(&password) {
        Ok(()) => Ok(password),
        Err(problem) => Err((problem.code(), problem.detail().to_owned())),
    }
}

/// Reads a secret, such as a password or a refresh token.
pub(in crate::http) fn secret(raw: &RawValue) -> Result<SecretString, Refusal> {
    let text = string(raw)?;
    if text.chars().count() > MAX_SECRET_CHARS {
        return Err(("bad_length", format!("must have at most {MAX_SECRET_CHARS} characters")));
    }
    Ok(SecretString::from(text))
}
