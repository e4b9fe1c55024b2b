//! Reads that a session with the database failed are made again at once, on another session.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::problem::Rejection;

/// How often a read is made. The second time finds a new session. More are needed while a server is starting or being
/// promoted.
const MAX_TRIES: u32 = 3;

/// Answers a request whose method changes nothing again, when a lost session was all that failed. Such a request has
/// no body, so that nothing of it was used up.
pub(in crate::http) async fn repeat(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let tries = if request.method().is_safe() { MAX_TRIES } else { 1 };
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
