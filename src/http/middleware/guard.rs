//! Turns panics and timeouts of handlers into error responses.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::HttpServerState;
use crate::http::problem::Rejection;
use crate::supervision::limited::run_limited;

/// Limits the running time of a handler, including reading the body, and turns a panic into a 500. It wraps each
/// resource rather than the actix application, because the request can only be cloned once its route is known.
pub(in crate::http) async fn guard(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let limit = server_state.settings().server.request_timeout();
    let kept = request.request().clone();
    match run_limited("request", limit, next.call(request)).await {
        Ok(response) => response.map(boxed),
        Err(error) => Ok(ServiceResponse::from_err(Rejection::from(error), kept)),
    }
}
