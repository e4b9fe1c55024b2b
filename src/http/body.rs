//! JSON bodies.
//!
//! A body is read whole, within its limit, and checked in this order: media type (415), length as announced and as
//! received (413), time (408), then, all 400: emptiness, UTF-8, depth, syntax, and that it is one object without duplicate names.
//! What is wrong inside the object is for the handler to say, with all of it in one answer. Nothing of the content is
//! ever repeated.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt as _;

use super::problem::Rejection;
use super::{Entrance, auth};
use crate::config::ServerSettings;
use crate::domain::members::Members;
use crate::error::{Error, PublicMessage};

/// Deepest nesting of a body. Aval's own requests are three levels deep.
const MAX_DEPTH: usize = 32;

/// A body that is one JSON object.
#[derive(Clone)]
pub struct JsonObject(Bytes);

impl fmt::Debug for JsonObject {
    /// Without the body, which holds whatever a client sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonObject({} bytes)", self.0.len())
    }
}

impl JsonObject {
    /// Checks a whole body.
    ///
    /// # Errors
    /// [`Error::Malformed`] that says where, and never what.
    pub fn check(bytes: Bytes) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(malformed("The body is empty."));
        }
        if std::str::from_utf8(&bytes).is_err() {
            return Err(malformed("The body is not UTF-8."));
        }
        if is_too_deep(&bytes) {
            return Err(malformed(format!("The body is nested more than {MAX_DEPTH} levels deep.")));
        }
        let object = Self(bytes);
        if object.members()?.has_duplicates() {
            return Err(malformed("The body has a name more than once."));
        }
        Ok(object)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The object's members.
    ///
    /// # Errors
    /// [`Error::Malformed`], which [`JsonObject::check`] rules out.
    pub fn members(&self) -> Result<Members<'_>, Error> {
        serde_json::from_slice(&self.0).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "The body must be a JSON object",
                serde_json::error::Category::Eof => "The JSON ends too early",
                _ => "The body is not valid JSON",
            };
            malformed(format!("{what} (line {}, column {}).", error.line(), error.column()))
        })
    }
}

fn malformed(text: impl Into<String>) -> Error {
    Error::Malformed(PublicMessage::new(text))
}

/// Counts brackets outside of strings; good enough for a bound, whether the JSON is valid or not.
fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Whether the body is announced as plain JSON in UTF-8.
fn is_json(request: &HttpRequest) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let encoded = request.headers().contains_key(header::CONTENT_ENCODING)
        && text(header::CONTENT_ENCODING).is_none_or(|coding| !coding.eq_ignore_ascii_case("identity"));
    let mut parts = text(header::CONTENT_TYPE).unwrap_or_default().split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    json && utf8 && !encoded
}

async fn read(mut payload: Payload, limit_bytes: usize) -> Result<Bytes, Rejection> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        // What broke tells of the connection, nothing that the client does not know.
        let chunk = chunk.ok().ok_or_else(|| malformed("The body could not be read to its end."))?;
        if body.len().saturating_add(chunk.len()) > limit_bytes {
            return Err(Rejection::PayloadTooLarge { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Refuses a body that is announced as longer than `limit_bytes`.
pub(super) fn check_announced(request: &HttpRequest, limit_bytes: usize) -> Result<(), Rejection> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if announced.is_some_and(|text| text.parse::<usize>().map_or(true, |n| n > limit_bytes)) {
        return Err(Rejection::PayloadTooLarge { limit_bytes });
    }
    Ok(())
}

/// The whole body as it was sent, at most `limit_bytes`. Half of the request's time is the client's; the rest is for
/// doing what it asks.
///
/// The client decides how long that takes, and whoever sends it was authorised before. So the principal is looked at
/// again when the body is there.
pub(super) async fn raw(
    request: &HttpRequest,
    settings: &ServerSettings,
    payload: Payload,
    limit_bytes: usize,
) -> Result<Bytes, Rejection> {
    let body = tokio::time::timeout(settings.request_timeout() / 2, read(payload, limit_bytes)).await;
    let body = body.unwrap_or(Err(Rejection::SlowBody))?;
    auth::confirm(request).await?;
    Ok(body)
}

impl FromRequest for JsonObject {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let entrance = Entrance::extract(&request).await?;
            let settings = &entrance.settings().server;
            if !is_json(&request) {
                return Err(Rejection::UnsupportedMediaType);
            }
            check_announced(&request, settings.body_limit_bytes)?;
            Ok(Self::check(raw(&request, settings, payload, settings.body_limit_bytes).await?)?)
        })
    }
}

#[cfg(test)]
mod tests;
