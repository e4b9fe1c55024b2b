//! JSON bodies.
//!
//! A body is read as a whole, within the limit of its route's [`BodyClass`], and checked in this order:
//!
//! 1. the media type (415),
//! 2. the declared and the actual length (413) and the time to receive it (408),
//! 3. the content (400): it must not be empty, must be UTF-8, must not be nested too deeply or have too many values, and
//!    must be one JSON object without duplicate names.
//!
//! Depth and number of values are counted in the raw bytes, before parsing. The handler validates the members and
//! reports all field errors in one response. Errors never quote the content.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;

use super::problem::Rejection;
use super::{HttpServerState, auth};
use crate::config::ServerSettings;
use crate::error::{Error, PublicMessage};
use crate::json::Members;

/// The media type of a JSON Merge Patch (RFC 7396), which `PATCH` accepts in addition to plain JSON.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// Maximum nesting of a body. The requests that the API defines have at most three levels.
const MAX_DEPTH: usize = 32;

/// The maximum size of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    /// In bytes.
    pub bytes: usize,
    /// In values at all depths: members of objects and elements of arrays.
    pub values: usize,
}

/// The class of body that a route accepts, as set in the route table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyClass {
    /// Names, passwords and tokens. Such bodies are read before the client is authenticated.
    Credentials,
    /// A few fields: filters, reasons, settings.
    Small,
    /// An application with the data of its country.
    Application,
    /// A webhook message of a bureau or bank. Its limit in bytes is `webhooks.body_limit_bytes`.
    Webhook,
}

impl BodyClass {
    /// The limit of this class; `server.body_limit_bytes` may be lower.
    pub const fn limit(self) -> BodyLimit {
        match self {
            Self::Credentials => BodyLimit { bytes: 4 * 1024, values: 16 },
            Self::Small => BodyLimit { bytes: 16 * 1024, values: 256 },
            Self::Application | Self::Webhook => BodyLimit { bytes: 64 * 1024, values: 4096 },
        }
    }
}

/// A body that consists of one JSON object.
#[derive(Clone)]
pub struct JsonObject(Bytes);

impl fmt::Debug for JsonObject {
    /// Omits the body, which may contain personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonObject({} bytes)", self.0.len())
    }
}

impl JsonObject {
    /// Checks a complete body, allowing the largest number of values of any route.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the position but not the content.
    pub fn check(bytes: Bytes) -> Result<Self, Error> {
        Self::check_within(bytes, BodyClass::Webhook.limit().values)
    }

    /// Checks a complete body with at most `max_values` values.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the position but not the content.
    pub fn check_within(bytes: Bytes, max_values: usize) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(malformed("The body is empty."));
        }
        if std::str::from_utf8(&bytes).is_err() {
            return Err(malformed("The body is not UTF-8."));
        }
        let extent = Extent::of(&bytes);
        if extent.depth > MAX_DEPTH {
            return Err(malformed(format!("The body is nested more than {MAX_DEPTH} levels deep.")));
        }
        if extent.values > max_values {
            return Err(malformed(format!("The body has more than {max_values} members and elements.")));
        }
        let object = Self(bytes);
        if object.members()?.has_duplicates() {
            return Err(malformed("The body contains a duplicate name."));
        }
        Ok(object)
    }

    /// The bytes as received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The object's members.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the body is not a JSON object. [`JsonObject::check`] has already ruled this out.
    pub fn members(&self) -> Result<Members<'_>, Error> {
        serde_json::from_slice(&self.0).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "The body must be a JSON object",
                serde_json::error::Category::Eof => "The JSON is incomplete",
                _ => "The body is not valid JSON",
            };
            malformed(format!("{what} (line {}, column {}).", error.line(), error.column()))
        })
    }
}

fn malformed(text: impl Into<String>) -> Error {
    Error::Malformed(PublicMessage::new(text))
}

/// The nesting depth and the number of values of a JSON text.
#[derive(Debug, Default)]
struct Extent {
    depth: usize,
    values: usize,
}

impl Extent {
    /// Counts brackets and commas outside of strings, which is accurate enough for a limit even if the JSON is invalid.
    /// Each value follows a comma or is the first in its brackets. Stops when the text is too deep for any route.
    fn of(bytes: &[u8]) -> Self {
        let (mut extent, mut depth, mut in_string, mut escaped) = (Self::default(), 0_usize, false, false);
        for byte in bytes {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'[' | b'{' => {
                    depth += 1;
                    extent.values += 1;
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' => extent.values += 1,
                _ => {}
            }
            extent.depth = extent.depth.max(depth);
            if extent.depth > MAX_DEPTH {
                break;
            }
        }
        extent
    }
}

/// Whether the headers declare plain JSON in UTF-8.
fn is_json(request: &HttpRequest) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let encoded = request.headers().contains_key(header::CONTENT_ENCODING)
        && text(header::CONTENT_ENCODING).is_none_or(|coding| !coding.eq_ignore_ascii_case("identity"));
    let mut parts = text(header::CONTENT_TYPE).unwrap_or_default().split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| {
        let is_patch = *request.method() == Method::PATCH;
        media.eq_ignore_ascii_case("application/json")
            || (is_patch && media.eq_ignore_ascii_case(MERGE_PATCH))
    });
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
        // The connection failed, so the client probably never sees this response. It does not need the cause.
        let chunk = chunk.ok().ok_or_else(|| malformed("The body was not received completely."))?;
        if body.len().saturating_add(chunk.len()) > limit_bytes {
            return Err(Rejection::PayloadTooLarge { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Refuses a body with a declared length above `limit_bytes`.
pub(super) fn check_declared_length(request: &HttpRequest, limit_bytes: usize) -> Result<(), Rejection> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if declared.is_some_and(|text| text.parse::<usize>().map_or(true, |n| n > limit_bytes)) {
        return Err(Rejection::PayloadTooLarge { limit_bytes });
    }
    Ok(())
}

/// Reads the complete body, at most `limit_bytes`. The client has half of the request timeout to send it; the rest is
/// for processing.
///
/// Receiving the body may take a long time, and the client was authorized before. The principal is therefore checked
/// again afterwards.
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

/// The limit of the request's route.
fn limit_of(request: &HttpRequest) -> BodyLimit {
    request.extensions().get::<BodyClass>().copied().unwrap_or(BodyClass::Small).limit()
}

impl FromRequest for JsonObject {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let server_state = HttpServerState::extract(&request).await?;
            let settings = &server_state.settings().server;
            if !is_json(&request) {
                return Err(Rejection::UnsupportedMediaType);
            }
            let limit = limit_of(&request);
            let limit_bytes = limit.bytes.min(settings.body_limit_bytes);
            check_declared_length(&request, limit_bytes)?;
            Ok(Self::check_within(raw(&request, settings, payload, limit_bytes).await?, limit.values)?)
        })
    }
}

#[cfg(test)]
mod tests;
