//! Cross-origin access from browsers, configured in `[cors]`. Without configuration, no other origin has access.
//!
//! Clients authenticate with tokens. The only cookie belongs to the console, whose pages Aval serves itself, so CORS
//! credentials are not allowed. Preflight requests are answered before authentication. WebSockets have no preflight;
//! [`may_open_websocket`] checks their `Origin` against the same list.

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName};

use crate::config::CorsSettings;

/// Response headers that pages may read.
const EXPOSED: [&str; 10] = [
    "content-disposition",
    "etag",
    "idempotency-replayed",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "traceresponse",
    "www-authenticate",
    "x-request-id",
];

/// Request headers that pages may send.
fn allowed_headers() -> Vec<HeaderName> {
    let own = ["x-api-key", "idempotency-key", "x-request-id", "traceparent"].map(HeaderName::from_static);
    let known = [
        header::ACCEPT,
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
    ];
    known.into_iter().chain(own).collect()
}

/// The CORS middleware for these settings.
pub(super) fn cors(settings: &CorsSettings) -> Cors {
    let cors = Cors::default()
        .allowed_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allowed_headers(allowed_headers())
        .expose_headers(EXPOSED)
        .max_age(settings.max_age_seconds);
    settings.allowed_origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// Whether a WebSocket may be opened: by a page of the same host, by a page of an allowed origin, or by a client
/// without an origin. Browsers let any page open a WebSocket to any host, but send the page's origin in `Origin` (RFC
/// 6455, section 10.2).
pub(super) fn may_open_websocket(headers: &HeaderMap, settings: Option<&CorsSettings>) -> bool {
    if !headers.contains_key(header::ORIGIN) || is_own_page(headers) {
        return true;
    }
    let Some((scheme, authority)) = origin(headers) else { return false };
    let allowed = settings.map_or(&[][..], |settings| &settings.allowed_origins);
    allowed.iter().filter_map(|allowed| allowed.split_once("://")).any(|(allowed_scheme, allowed)| {
        allowed_scheme.eq_ignore_ascii_case(scheme) && is_same_authority(scheme, authority, allowed)
    })
}

/// Whether a page of the same host sent a request. Browsers send the origin of the page with every request other than
/// `GET` and `HEAD`.
pub(super) fn is_own_page(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin(headers)
        .zip(host)
        .is_some_and(|((scheme, authority), host)| is_same_authority(scheme, authority, host))
}

/// The scheme and the authority of the origin.
fn origin(headers: &HeaderMap) -> Option<(&str, &str)> {
    headers.get(header::ORIGIN)?.to_str().ok()?.split_once("://")
}

/// Whether two authorities are the same under `scheme`. A missing port is the default port of the scheme (RFC 6454,
/// section 4).
fn is_same_authority(scheme: &str, one: &str, other: &str) -> bool {
    let ((host, port), (other_host, other_port)) = (host_and_port(scheme, one), host_and_port(scheme, other));
    !host.is_empty() && host.eq_ignore_ascii_case(other_host) && port == other_port
}

fn host_and_port<'a>(scheme: &'a str, authority: &'a str) -> (&'a str, &'a str) {
    let default = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.contains(']') => (host, if port.is_empty() { default } else { port }),
        _ => (authority, default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HOST, HeaderValue, ORIGIN};

    #[test]
    fn websockets_are_allowed_from_own_and_allowed_origins_and_without_an_origin() {
        let settings =
            CorsSettings { allowed_origins: vec!["https://console.example".to_owned()], max_age_seconds: 1 };
        for (origin, allowed) in [
            (None, true),
            (Some("http://localhost:8000"), true),
            (Some("https://LOCALHOST:8000"), true),
            (Some("https://console.example"), true),
            (Some("http://console.example"), false),
            (Some("https://console.example:444"), false),
            (Some("https://console.example.evil.example"), false),
            (Some("http://localhost:8001"), false),
            (Some("http://evil.example"), false),
            (Some("http://localhost:8000.evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
            (Some("https://console.example:443"), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:8000"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(may_open_websocket(&headers, Some(&settings)), allowed, "{origin:?}");
        }
    }

    #[test]
    fn a_host_with_the_default_port_equals_the_host_without_a_port() {
        for (origin, host, is_own) in [
            ("https://x", "x:443", true),
            ("https://x:443", "x", true),
            ("https://X", "x:", true),
            ("http://x", "x:80", true),
            ("https://[::1]", "[::1]:443", true),
            ("https://[::1]:8443", "[::1]:8443", true),
            ("https://x", "x:80", false),
            ("http://x", "x:443", false),
            ("https://x:8443", "x", false),
            ("https://[::1]", "[::2]", false),
            ("https://x", "x:444", false),
            ("https://", "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
            assert_eq!(may_open_websocket(&headers, None), is_own, "{origin} {host}");
        }
    }
}
