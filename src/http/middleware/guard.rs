//! A handler that panics or hangs is an answer like another.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::HttpServerState;
use crate::http::problem::Rejection;
use crate::supervision::limited::run_limited;

/// Bounds a handler's time, reading the body included, and turns a panic into a 500. It stands around a resource and not
/// around the application, because the request may only be kept once its route is known.
pub(in crate::http) async fn guard(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let limit = server_state.settings().server.request_timeout();
    let kept = request.request().clone();
    match run_limited("request", limit, next.call(request)).await {
        Ok(answer) => answer.map(boxed),
        Err(error) => Ok(ServiceResponse::from_err(Rejection::from(error), kept)),
    }
}
