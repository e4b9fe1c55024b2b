//! The body of an ingest request.
//!
//! Memory for it is reserved before it is read, so a server without memory refuses the request instead of growing. A
//! compressed body is limited before and after decompression; decompression stops at the limit, however well the body is
//! compressed.

use std::io::Read as _;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, PublicMessage};
use crate::http::problem::Rejection;
use crate::http::{HttpState, body};
use crate::ingest::batch::BodyFormat;
use crate::ingest::{Ingest, MAX_BODY_BYTES, Reservation};

/// How many bytes are decompressed before more memory is reserved.
const CHUNK_BYTES: usize = 64 * 1024;

/// A complete body, decompressed, and the memory that is reserved for it.
pub(in crate::http) struct IngestBody {
    pub(in crate::http) bytes: Bytes,
    pub(in crate::http) format: BodyFormat,
    pub(in crate::http) reservation: Reservation,
}

/// The text of a header; `None` if it is not ASCII.
fn text(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name).map_or(Some(""), |value| value.to_str().ok())
}

/// The format that the media type declares.
fn format(request: &HttpRequest) -> Option<BodyFormat> {
    let mut parts = text(request, header::CONTENT_TYPE)?.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    match media.as_str() {
        "application/json" if parts.all(is_utf8) => Some(BodyFormat::Json),
        "application/x-ndjson" | "application/ndjson" if parts.all(is_utf8) => Some(BodyFormat::Lines),
        _ => None,
    }
}

/// Whether the body is compressed with gzip; `None` for any other coding.
fn is_gzip(request: &HttpRequest) -> Option<bool> {
    match text(request, header::CONTENT_ENCODING)?.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Some(false),
        "gzip" | "x-gzip" => Some(true),
        _ => None,
    }
}

/// The memory that the body needs while it is received.
fn declared_bytes(request: &HttpRequest) -> usize {
    let declared = text(request, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    declared.unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES)
}

/// Decompresses a body, up to the limit. Reserves memory for the result as it grows.
fn inflate(ingest: &Ingest, body: &Bytes, reservation: &mut Reservation) -> Result<Bytes, Rejection> {
    let mut decoder = MultiGzDecoder::new(body.as_ref());
    let mut inflated = Vec::new();
    loop {
        let chunk = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
        let read = decoder.by_ref().take(chunk).read_to_end(&mut inflated);
        let malformed = || Error::Malformed(PublicMessage::new("The body is not valid gzip."));
        if read.ok().ok_or_else(malformed)? == 0 {
            inflated.shrink_to_fit();
            return Ok(inflated.into());
        }
        if inflated.len() > MAX_BODY_BYTES {
            return Err(Rejection::PayloadTooLarge { limit_bytes: MAX_BODY_BYTES });
        }
        ingest.extend(reservation, body.len() + inflated.len())?;
    }
}

impl FromRequest for IngestBody {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let state = HttpState::extract(&request).await?;
            let declared = format(&request).zip(is_gzip(&request));
            let (format, is_gzip) = declared.ok_or(Rejection::UnsupportedEventsType)?;
            body::check_declared_length(&request, MAX_BODY_BYTES)?;
            let mut reservation = state.ingest.reserve(declared_bytes(&request))?;
            let settings = &state.resources.settings.server;
            let received = body::raw(&request, settings, payload, MAX_BODY_BYTES).await?;
            let bytes = match is_gzip {
                true => inflate(&state.ingest, &received, &mut reservation)?,
                false => received,
            };
            Ok(Self { bytes, format, reservation })
        })
    }
}
