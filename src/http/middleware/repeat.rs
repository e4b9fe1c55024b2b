//! Retries reads that failed because a database connection was lost.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::problem::Rejection;

/// Maximum number of attempts. The second attempt usually gets a new connection. More are needed while a server starts
/// or is promoted.
const MAX_ATTEMPTS: u32 = 3;

/// Retries a request with a safe method that failed only because of a lost database connection. Such a request has no
/// body that could have been consumed.
pub(in crate::http) async fn repeat(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let tries = if request.method().is_safe() { MAX_ATTEMPTS } else { 1 };
    let mut answered = next.call(request).await?;
    for _ in 1..tries {
        let rejection = answered.response().error().and_then(|error| error.as_error::<Rejection>());
        if !rejection.is_some_and(Rejection::is_of_a_lost_session) {
            break;
        }
        let (request, _) = answered.into_parts();
        answered = next.call(ServiceRequest::from_request(request)).await?;
    }
    Ok(boxed(answered))
}
