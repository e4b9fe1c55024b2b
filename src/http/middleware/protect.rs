//! Security headers of every response.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::{HttpServerState, console};

/// API responses are data: they load nothing and must not be framed.
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Swagger UI loads its own scripts and styles, sets inline styles, embeds images as data URLs, and sends requests to
/// this server.
const DOCUMENTATION_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Headers of every response. They also protect browsers that do not support `Content-Security-Policy`, and responses that
/// are opened directly in a browser.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
];

/// One year, the minimum for HSTS preload lists. Subdomains are not included, because they may not belong to Aval.
const TRANSPORT_POLICY: HeaderValue = HeaderValue::from_static("max-age=31536000");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Adds the security headers to a response. Responses other than the documentation must not be stored unless a handler
/// allows it.
pub(in crate::http) async fn protect(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let is_documentation = is_documentation(request.path());
    let is_console = console::is_page(request.path());
    let mut response = next.call(request).await.map(boxed)?;
    let keeps_stored_policy = is_console && response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    let (policy, caching) =
        if is_documentation { (DOCUMENTATION_POLICY, REVALIDATE) } else { (DATA_POLICY, NO_STORE) };
    // Documents of the console have their own policy, and a 304 must not replace it in the client's cache.
    if !keeps_stored_policy && !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, caching);
    }
    if server_state.settings().server.is_reached_over_tls() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TRANSPORT_POLICY);
    }
    Ok(response)
}

/// Swagger UI, its files, and the OpenAPI and AsyncAPI documents.
fn is_documentation(path: &str) -> bool {
    path.starts_with("/docs/") || matches!(path, "/docs" | "/openapi.json" | "/asyncapi.json")
}
