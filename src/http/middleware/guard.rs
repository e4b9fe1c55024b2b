//! Turns panics and timeouts of handlers into error responses.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use futures_util::FutureExt as _;

use super::boxed;
use crate::error::{Error, PrivateMessage};
use crate::http::HttpServerState;
use crate::http::problem::Rejection;

/// Limits the time of a handler, including reading the body, and turns a panic into a 500. It wraps each resource
/// rather than the application, because the request can only be cloned once its route is known.
pub(in crate::http) async fn guard(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let limit = server_state.settings().server.request_timeout();
    let kept = request.request().clone();
    let handled = AssertUnwindSafe(async { next.call(request).await }).catch_unwind();
    let error = match tokio::time::timeout(limit, handled).await {
        Ok(Ok(answer)) => return answer.map(boxed),
        Ok(Err(panic)) => Error::Panicked { what: "a request handler", cause: panic_message(&*panic) },
        Err(_elapsed) => Error::Timeout { what: "a request", after: limit },
    };
    Ok(ServiceResponse::from_err(Rejection::from(error), kept))
}

fn panic_message(panic: &(dyn Any + Send)) -> PrivateMessage {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    PrivateMessage::new(text)
}
