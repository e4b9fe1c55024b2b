//! `Idempotency-Key`: executes a repeated write only once (draft-ietf-httpapi-idempotency-key-header).
//!
//! The client chooses the key: 1 to 255 characters, not counting quotes and escapes, either as the draft's quoted
//! string of printable ASCII or unquoted, of visible ASCII. Both forms denote the same key. A key belongs to one
//! account and one route and is stored for 24 hours. The transaction of the write also stores the response, sealed, and
//! a keyed fingerprint of method, path and body value.
//!
//! The same request then gets the same status, `Location`, `ETag` and body, with `Idempotency-Replayed: true`. A
//! different request with the same key is refused with a 422. While the first request is in progress on any instance, a
//! repetition gets a 409 with `Retry-After`. A refused request has written nothing and does not use up its key. Secrets
//! that are shown only once are not stored, so a replay omits them. A replay is the original response; use `GET` for
//! the current state.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::HttpState;
use super::json_value;
use super::problem::{HandlerResult, Rejection};
use crate::error::{Error, PublicMessage, Result};
pub use crate::storage::idempotency::{Keyed, KeyedWrite, Once, SealedReply};
use crate::storage::seal::{KeyRing, SealedField};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks a replayed response.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_KEY_CHARS: usize = 255;
/// How long a key is stored (section 8 of docs/specification.md).
const LIFETIME: TimeDelta = TimeDelta::hours(24);

/// A request's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Idempotency {
    /// Makes repeating the request safe. A key chosen by the client, 1 to 255 characters, unquoted or as a quoted
    /// string (RFC 8941), not counting quotes and escapes. Use the same key only to repeat the same request; keys are
    /// stored for 24 hours. A repetition gets the same response, without secrets that are shown only once, and with
    /// `Idempotency-Replayed: true`. A refused request does not use up its key.
    #[param(
        rename = "Idempotency-Key",
        pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#,
        example = "8e03978e-40d5-43e8-bc93-6894a57f9324"
    )]
    key: Option<String>,
    /// Method and path pattern.
    #[param(ignore)]
    route: String,
    /// Method and path.
    #[param(ignore)]
    target: String,
}

impl Idempotency {
    /// The keyed write of this request, whose response `render` creates; `None` if the request has no key.
    pub fn keyed<'a, T>(
        &self,
        state: &'a HttpState,
        account: &str,
        body: &[u8],
        render: &'a impl Fn(&T) -> Result<Reply>,
    ) -> Option<Keyed<'a, T>> {
        let keys = state.keys();
        let write = self.write(keys, account, body, state.resources.clock.now())?;
        let stored_write = write.clone();
        Some(Keyed { write, seal_reply: Box::new(move |made| render(made)?.seal(keys, &stored_write)) })
    }

    /// Requires the request to have a key.
    ///
    /// # Errors
    /// [`Error::Malformed`] without one.
    pub fn require(&self) -> Result<()> {
        let missing = || Error::Malformed(PublicMessage::new("The header Idempotency-Key is required."));
        self.key.as_ref().map(drop).ok_or_else(missing)
    }

    fn write(&self, keys: &KeyRing, account: &str, body: &[u8], now: DateTime<Utc>) -> Option<KeyedWrite> {
        let key = self.key.as_ref()?;
        let target = self.target.as_bytes();
        let scope = [account.as_bytes(), self.route.as_bytes(), key.as_bytes()];
        Some(KeyedWrite {
            key_digest: keys.keyed_hash("idempotency-key", &scope),
            fingerprint: keys.keyed_hash("idempotent-request", &[target, &json_value::canonical(body)]),
            account: account.to_owned(),
            route: self.route.clone(),
            at: now,
            expires_at: now + LIFETIME,
        })
    }
}

impl FromRequest for Idempotency {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut lines = request.headers().get_all(&HEADER);
        let key = match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => parse_key(line.as_bytes()).map(Some),
            (Some(_), Some(_)) => Err("occurs more than once"),
        };
        let method = request.method();
        let pattern = request.match_pattern().unwrap_or_default();
        let refuse = |what| Error::Malformed(PublicMessage::new(format!("Idempotency-Key {what}."))).into();
        ready(key.map_err(refuse).map(|key| Self {
            key,
            route: format!("{method} {pattern}"),
            target: format!("{method} {}", request.path()),
        }))
    }
}

/// Parses the header's value. The error completes a sentence that starts with the name of the header.
fn parse_key(value: &[u8]) -> Result<String, &'static str> {
    let value = value.trim_ascii();
    let (key, allows_space) = match value.strip_prefix(b"\"") {
        Some(quoted) => (unquote(quoted).ok_or("is not a well-formed quoted string")?, true),
        None => (value.to_vec(), false),
    };
    if !(1..=MAX_KEY_CHARS).contains(&key.len()) {
        return Err("must have 1 to 255 characters, not counting the quotes and escapes of a quoted string");
    }
    let is_allowed = |byte: &u8| byte.is_ascii_graphic() || (allows_space && *byte == b' ');
    let all_allowed = key.iter().all(is_allowed);
    String::from_utf8(key).ok().filter(|_| all_allowed).ok_or("must consist of visible ASCII characters")
}

/// Parses an RFC 8941 string after its opening quote; `None` unless it ends with the closing quote.
fn unquote(rest: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter().copied();
    loop {
        match bytes.next()? {
            b'"' => break,
            b'\\' => text.push(bytes.next().filter(|byte| matches!(byte, b'"' | b'\\'))?),
            plain => text.push(plain),
        }
    }
    bytes.next().is_none().then_some(text)
}

/// A response that can be replayed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    /// The body, as JSON.
    body: String,
    /// Sent instead of `body` in the first response; not stored.
    #[serde(skip)]
    first_body: Option<SecretString>,
}

/// Compares the stored parts.
impl PartialEq for Reply {
    fn eq(&self, other: &Self) -> bool {
        (self.status, &self.headers, &self.body) == (other.status, &other.headers, &other.body)
    }
}

impl Eq for Reply {}

impl Reply {
    /// A response with a JSON body.
    ///
    /// # Errors
    /// [`Error::Internal`] if the body cannot be serialized, which is a bug.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_string(body).map_err(Error::internal)?;
        Ok(Self { status: status.as_u16(), headers: Vec::new(), body, first_body: None })
    }

    /// Replaces the JSON body of the first response only, for a secret that is not stored.
    ///
    /// # Errors
    /// [`Error::Internal`] if the body cannot be serialized, which is a bug.
    pub fn with_first_body(mut self, body: &impl Serialize) -> Result<Self> {
        self.first_body = Some(serde_json::to_string(body).map_err(Error::internal)?.into());
        Ok(self)
    }

    #[must_use]
    pub fn with_header(mut self, name: &HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name.as_str().to_owned(), value.into()));
        self
    }

    /// The response to send, with the body for the first response if there is one.
    ///
    /// # Errors
    /// [`Error::Internal`] if the status or a header is not valid in HTTP, which is a bug.
    pub fn response(&self) -> HandlerResult {
        let status = StatusCode::from_u16(self.status).map_err(Error::internal)?;
        let body = self.first_body.as_ref().map_or(self.body.as_str(), ExposeSecret::expose_secret);
        let mut response = HttpResponse::build(status).content_type("application/json").body(body.to_owned());
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(Error::internal)?;
            let value = HeaderValue::from_str(value).map_err(Error::internal)?;
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }

    /// Seals the response, bound to the key of `write`.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be sealed.
    fn seal(&self, keys: &KeyRing, write: &KeyedWrite) -> Result<SealedReply> {
        let plain = serde_json::to_vec(self).map_err(Error::internal)?;
        let envelope = keys.seal_bytes(SealedField::IdempotentReply, write.key_digest, &plain)?;
        Ok(SealedReply { status: self.status, envelope })
    }
}

/// The response to a write: the result as formatted by `render`, or the stored response.
///
/// # Errors
/// The errors of `render` and [`Reply::response`], and [`Error::Internal`] if the stored response cannot be opened,
/// which is a bug.
pub fn respond<T>(
    keys: &KeyRing,
    keyed: Option<&Keyed<'_, T>>,
    outcome: Once<T>,
    render: impl Fn(&T) -> Result<Reply>,
) -> HandlerResult {
    match (outcome, keyed) {
        (Once::Made(made), _) => render(&made)?.response(),
        (Once::Replayed(stored), Some(keyed)) => replay(keys, &keyed.write, &stored),
        (Once::Replayed(_), None) => Err(Error::internal("a replay of a write without a key").into()),
    }
}

fn replay(keys: &KeyRing, write: &KeyedWrite, stored: &SealedReply) -> HandlerResult {
    let plain = keys.open_bytes(SealedField::IdempotentReply, write.key_digest, &stored.envelope)?;
    let reply: Reply = serde_json::from_slice(&plain).map_err(Error::internal)?;
    let mut response = reply.response()?;
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    fn refusal(value: &str) -> &'static str {
        parse_key(value.as_bytes()).expect_err(value)
    }

    #[test]
    fn a_quoted_key_equals_an_unquoted_one() {
        for (value, key) in [
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            ("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            ("  a  ", "a"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r#""a b""#, "a b"),
            (r#"a"b"#, r#"a"b"#),
            (r"a\b", r"a\b"),
        ] {
            assert_eq!(parse_key(value.as_bytes()).as_deref(), Ok(key), "{value}");
        }
        assert!(parse_key("x".repeat(255).as_bytes()).is_ok());
        assert!(parse_key(format!("\"{}\"", "\\\\".repeat(255)).as_bytes()).is_ok());
    }

    #[test]
    fn an_invalid_key_is_refused_with_the_reason() {
        let (bare, quoted) = ("x".repeat(256), format!("\"{}\"", "x".repeat(256)));
        for value in ["", " ", "\"\"", &bare, &quoted] {
            assert!(refusal(value).starts_with("must have 1 to 255 characters"), "{value}");
        }
        for value in ["\"", "\"a", "\"a\"b", r#""a\""#, r#""a\n""#, "\"a\";p=1"] {
            assert_eq!(refusal(value), "is not a well-formed quoted string", "{value}");
        }
        for value in ["a b", "é", "\"é\"", "a\tb", "a\u{7f}"] {
            assert_eq!(refusal(value), "must consist of visible ASCII characters", "{value}");
        }
    }

    #[actix_rt::test]
    async fn at_most_one_key_is_accepted() {
        let request = TestRequest::post().insert_header((HEADER, "a")).to_http_request();
        assert_eq!(Idempotency::extract(&request).await.unwrap().key.as_deref(), Some("a"));
        let request =
            TestRequest::post().append_header((HEADER, "a")).append_header((HEADER, "b")).to_http_request();
        assert_eq!(Idempotency::extract(&request).await.unwrap_err().kind().status, 400);
        assert_eq!(Idempotency::extract(&TestRequest::post().to_http_request()).await.unwrap().key, None);
    }

    proptest! {
        #[test]
        fn visible_characters_can_form_a_quoted_or_unquoted_key(key in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(parse_key(quoted.as_bytes()), Ok(key.clone()));
            if !key.starts_with('"') {
                prop_assert_eq!(parse_key(key.as_bytes()), Ok(key));
            }
        }

        #[test]
        fn parsing_never_panics_or_returns_an_invalid_key(value in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(key) = parse_key(&value) {
                prop_assert!((1..=MAX_KEY_CHARS).contains(&key.len()));
                prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
            }
        }
    }
}
