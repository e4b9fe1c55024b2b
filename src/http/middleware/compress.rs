//! Compresses long responses for clients that accept gzip.
//!
//! Compression can leak a secret if a response contains it next to text that an attacker controls and the attacker can
//! observe the lengths of many such responses (BREACH, CVE-2013-3587). Routes that return secrets (tokens, keys and
//! tickets) are marked in the route table and never compressed. Other responses contain no credentials, and the only
//! cookie is `SameSite=Strict`, so another site cannot make a browser send authenticated requests.

use actix_http::encoding::Encoder;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding, Header as _, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error as ActixError, HttpMessage as _};

use super::boxed;
use super::route_rules::RouteRules;

/// Shorter responses are not compressed, because they fit into one packet anyway.
const MIN_BYTES: u64 = 1024;

/// Media types that benefit from compression.
const COMPRESSIBLE: [&str; 5] =
    ["application/json", "application/problem+json", "application/javascript", "image/svg+xml", "text/"];

/// Compresses a long response with gzip if the client accepts it.
pub(in crate::http) async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let is_accepted = accepts_gzip(&request);
    let mut response = next.call(request).await.map(boxed)?;
    if !is_compressible(&response) {
        return Ok(response);
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !is_accepted {
        return Ok(response);
    }
    Ok(response.map_body(|head, body| BoxBody::new(Encoder::response(ContentEncoding::Gzip, head, body))))
}

fn accepts_gzip(request: &ServiceRequest) -> bool {
    let Ok(accepted) = AcceptEncoding::parse(request) else { return false };
    let supported = [Encoding::gzip(), Encoding::identity()];
    request.headers().contains_key(header::ACCEPT_ENCODING)
        && accepted.negotiate(supported.iter()) == Some(Encoding::gzip())
}

/// Responses with a strong `ETag` are not compressed: a strong tag identifies one sequence of bytes, a weak one
/// equivalent representations (RFC 9110, section 8.8.3).
fn is_compressible(response: &ServiceResponse<BoxBody>) -> bool {
    let headers = response.headers();
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let is_long = match response.response().body().size() {
        BodySize::Sized(bytes) => bytes >= MIN_BYTES,
        BodySize::Stream => true,
        BodySize::None => false,
    };
    let request = response.request();
    let is_public = !request.extensions().get::<RouteRules>().is_some_and(|rules| rules.returns_secret);
    is_long
        && is_public
        && response.status() == StatusCode::OK
        && *request.method() != Method::HEAD
        && !headers.contains_key(header::CONTENT_ENCODING)
        && (text(header::ETAG).is_empty() || text(header::ETAG).starts_with("W/"))
        && COMPRESSIBLE.iter().any(|media| text(header::CONTENT_TYPE).starts_with(media))
}

#[cfg(test)]
mod tests {
    use crate::http::routes;

    #[test]
    fn routes_that_return_a_secret_are_marked() {
        let mut marked: Vec<_> =
            routes::table(true).iter().filter(|route| route.returns_secret).map(|route| route.path).collect();
        marked.sort_unstable();
        assert_eq!(
            marked,
            [
                "/api/v1/api-keys",
                "/api/v1/auth/browser-session",
                "/api/v1/auth/browser-session/refresh",
                "/api/v1/auth/login",
                "/api/v1/auth/password",
                "/api/v1/auth/refresh",
                "/api/v1/users",
                "/api/v1/users/{id}",
                "/api/v1/webhook-endpoints",
                "/api/v1/webhook-endpoints/{id}/rotate-secret",
                "/api/v1/ws/tickets",
            ]
        );
    }
}
