//! Nobody is let in before everything stands.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::Entrance;
use crate::http::health::{self, Phase};
use crate::http::problem::Rejection;

/// Answers 503 to everything but the liveness probe until the entrance is open.
pub(in crate::http) async fn gate(
    entrance: Entrance,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    if entrance.readiness().phase() == Phase::Starting && !health::is_liveness_probe(request.path()) {
        return Ok(request.error_response(Rejection::Starting));
    }
    next.call(request).await.map(boxed)
}
