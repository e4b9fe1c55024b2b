//! How large the head of a request may be. The parser's own bounds (96 fields, 128 KiB) come first, and answer without a
//! problem; these are lower, hold for HTTP/2 too, and say what is wrong.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::Entrance;
use crate::http::problem::Rejection;

/// Answers 414 or 431 to a head that is too large.
pub(in crate::http) async fn bounds(
    entrance: Entrance,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let settings = &entrance.settings().server;
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
    next.call(request).await.map(boxed)
}
