//! Refuses requests during startup and on spare connections, except for probes.

use std::rc::Rc;
use std::time::Duration;

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;

use super::boxed;
use crate::error::Error;
use crate::http::HttpServerState;
use crate::http::connections::{OpenConnection, Refusal};
use crate::http::health::{self, Phase};
use crate::http::problem::Rejection;

/// `Retry-After` when all connections are in use.
const CONNECTIONS_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Responds with 503 to everything but the liveness probe during startup, and to everything but probes on a spare
/// connection. While the instance drains, requests are served and their connections closed, so that clients do not
/// reuse a connection that is about to end. A spare connection is closed after one response.
pub(in crate::http) async fn gate(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    if server_state.readiness().phase() == Phase::Starting && !health::is_liveness_probe(request.path()) {
        return Ok(request.error_response(Rejection::Starting));
    }
    let connection = request.request().conn_data::<Rc<OpenConnection>>().cloned();
    let spare = connection.filter(|connection| connection.is_spare());
    let mut response = match &spare {
        Some(connection) if !health::is_probe(request.path()) => {
            connection.refuse(Refusal::ConnectionLimit);
            let error = Error::Overloaded { what: "connections", retry_after: CONNECTIONS_RETRY_AFTER };
            request.error_response(Rejection::from(error))
        }
        _ => next.call(request).await.map(boxed)?,
    };
    let is_last = spare.is_some() || server_state.readiness().phase() == Phase::Draining;
    if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
