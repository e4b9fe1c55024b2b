//! Limits on the size of the request head. The parser has its own limits (96 fields, 128 KiB), which are checked first
//! and respond without a problem. The limits here are lower, also apply to HTTP/2, and respond with a problem.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::HttpServerState;
use crate::http::problem::Rejection;

/// Responds with 414 or 431 to a head that is too large, and with 417 to an unsupported `Expect`.
pub(in crate::http) async fn bounds(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let settings = &server_state.settings().server;
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > settings.max_uri_bytes {
        return Ok(request.error_response(Rejection::TargetTooLong { limit_bytes: settings.max_uri_bytes }));
    }
    let fields: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if fields > settings.max_header_bytes {
        return Ok(
            request.error_response(Rejection::HeaderTooLarge { limit_bytes: settings.max_header_bytes })
        );
    }
    if expects_more(request.headers()) {
        return Ok(request.error_response(Rejection::Expectation));
    }
    next.call(request).await.map(boxed)
}

/// Whether `Expect` contains anything but `100-continue` (RFC 9110, section 10.1.1).
fn expects_more(headers: &HeaderMap) -> bool {
    let expectations = headers.get_all(header::EXPECT).map(|value| value.to_str().unwrap_or("?"));
    let mut expectations = expectations.flat_map(|value| value.split(',')).map(str::trim);
    expectations.any(|expectation| !expectation.eq_ignore_ascii_case("100-continue"))
}
