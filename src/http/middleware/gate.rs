//! Nobody is let in before everything stands, and whoever comes while it is taken down is asked to come back elsewhere.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::Entrance;
use crate::http::health::{self, Phase};
use crate::http::problem::Rejection;

/// Answers 503 to everything but the liveness probe until the entrance is open. While the instance drains, requests are
/// served and their connections closed, so that no client sends its next one on a connection that is about to end.
pub(in crate::http) async fn gate(
    entrance: Entrance,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    if entrance.readiness().phase() == Phase::Starting && !health::is_liveness_probe(request.path()) {
        return Ok(request.error_response(Rejection::Starting));
    }
    let mut response = next.call(request).await.map(boxed)?;
    let is_draining = entrance.readiness().phase() == Phase::Draining;
    if is_draining && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
