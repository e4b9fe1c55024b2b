//! Reads the credential of a request: an access token or an API key in `Authorization` (RFC 6750, section 2.1), or an
//! API key in `X-API-Key`. Credentials in URLs are not accepted.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};

use crate::accounts::{Accounts, ApiKey, Principal};
use crate::error::{Error, PublicMessage};
use crate::http::problem::Rejection;

/// The header for API keys.
pub(in crate::http) const API_KEY_HEADER: &str = "X-API-Key";
const BEARER: &str = "bearer";

/// The credential in a request.
enum Sent<'r> {
    Nothing,
    Token(&'r str),
    ApiKey(&'r str),
    /// More than one credential; it is ambiguous which one is meant.
    Several,
}

/// Whether the request has a credential header.
pub(in crate::http) fn is_sent(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(API_KEY_HEADER)
}

/// Authenticates the client of a request. Returns a 401 if the credential is missing or invalid.
pub(in crate::http) async fn identify(
    headers: &HeaderMap,
    accounts: &Accounts,
) -> Result<Principal, Rejection> {
    match sent(headers) {
        Sent::Token(token) => Ok(accounts.authenticate_token(token).await?),
        Sent::ApiKey(key) => Ok(accounts.authenticate_key(key).await?),
        // RFC 6750, section 3.1: more than one method is an invalid request.
        Sent::Several => Err(Rejection::Challenged {
            error: unauthenticated("Send one credential: an access token or an API key."),
            parameters: r#"error="invalid_request""#.to_owned(),
        }),
        Sent::Nothing => {
            let text =
                "Send an access token or an API key in Authorization: Bearer …, or an API key in X-API-Key.";
            Err(unauthenticated(text).into())
        }
    }
}

/// Whether the request carries an API key. The key is not verified.
pub(in crate::http) fn carries_api_key(headers: &HeaderMap) -> bool {
    match sent(headers) {
        Sent::ApiKey(_) => true,
        Sent::Token(token) => ApiKey::is_key(token),
        Sent::Nothing | Sent::Several => false,
    }
}

fn unauthenticated(text: &str) -> Error {
    Error::Unauthenticated(PublicMessage::new(text))
}

fn sent(headers: &HeaderMap) -> Sent<'_> {
    let mut tokens = headers.get_all(AUTHORIZATION).map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_start_matches(' '))
    });
    let mut keys = headers.get_all(API_KEY_HEADER).map(|value| value.to_str().ok());
    match (tokens.next(), tokens.next(), keys.next(), keys.next()) {
        (None, None, None, None) => Sent::Nothing,
        // An unreadable header counts as no credential; an empty key is refused like any invalid key.
        (Some(token), None, None, None) => token.map_or(Sent::Nothing, Sent::Token),
        (None, None, Some(key), None) => Sent::ApiKey(key.unwrap_or_default()),
        _ => Sent::Several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn read(pairs: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        match sent(&headers) {
            Sent::Nothing => "nothing".to_owned(),
            Sent::Token(token) => format!("token {token}"),
            Sent::ApiKey(key) => format!("key {key}"),
            Sent::Several => "several".to_owned(),
        }
    }

    #[test]
    fn one_credential_is_accepted_and_two_are_refused() {
        let (bearer, key) = (("authorization", "Bearer abc"), ("x-api-key", "aval_1_2"));
        for (pairs, expected) in [
            (&[][..], "nothing"),
            (&[bearer], "token abc"),
            (&[("authorization", "bEaReR  abc")], "token abc"),
            (&[("authorization", "Basic abc")], "nothing"),
            (&[("authorization", "Bearer")], "nothing"),
            (&[key], "key aval_1_2"),
            (&[("x-api-key", "")], "key "),
            (&[bearer, key], "several"),
            (&[bearer, bearer], "several"),
            (&[key, key], "several"),
        ] {
            assert_eq!(read(pairs), expected, "{pairs:?}");
        }
    }
}
