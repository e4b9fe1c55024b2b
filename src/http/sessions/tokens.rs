//! The tokens of a session, as they are sent; the members are named as in OAuth 2.0 (RFC 6749, section 5.1).

use actix_web::HttpResponse;
use actix_web::http::header;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::accounts::{TokenPair, check_password_length};
use crate::json::{Refusal, string};

/// Longest secret that a request may hold, in characters. Passwords have at most 128 when they are normalised; the same
/// password may have more as it is sent.
const MAX_SECRET_CHARS: usize = 512;

/// Tokens of a session.
#[derive(Serialize, ToSchema)]
pub struct SessionTokens {
    /// For the header `Authorization: Bearer …`.
    #[schema(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.abc")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(value_type = crate::http::schemas::TokenType, example = "Bearer")]
    token_type: &'static str,
    /// Seconds that the access token is good.
    #[schema(example = 3600)]
    expires_in: u64,
    /// For one refresh, which gives the next.
    #[schema(example = "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA")]
    refresh_token: String,
    /// Seconds that the refresh token is good.
    #[schema(example = 604800)]
    refresh_expires_in: u64,
}

/// The answer with tokens, which nobody may keep on its way.
pub(super) fn answer(pair: &TokenPair) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(SessionTokens {
        access_token: pair.access_token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: pair.access_ttl.as_secs(),
        refresh_token: pair.refresh_token.expose_secret().to_owned(),
        refresh_expires_in: pair.refresh_ttl.as_secs(),
    })
}

/// A password that somebody has chosen.
pub(in crate::http) fn new_password(raw: &RawValue) -> Result<SecretString, Refusal> {
    let password = SecretString::from(string(raw)?);
    match check_password_length(&password) {
        Ok(()) => Ok(password),
        Err(problem) => Err((problem.code(), problem.detail().to_owned())),
    }
}

/// A secret text of a request.
pub(in crate::http) fn secret(raw: &RawValue) -> Result<SecretString, Refusal> {
    let text = string(raw)?;
    if text.chars().count() > MAX_SECRET_CHARS {
        return Err(("bad_length", format!("must have at most {MAX_SECRET_CHARS} characters")));
    }
    Ok(SecretString::from(text))
}
