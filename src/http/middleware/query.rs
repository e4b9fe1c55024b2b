//! Refuses query parameters on routes that have none.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::problem::Rejection;
use crate::http::query::Query;

/// Refuses all query parameters, unless the handler reads the query (`has_parameters`) and refuses unknown ones itself.
pub(in crate::http) async fn refuse_query(
    has_parameters: bool,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    if !has_parameters && let Err(error) = Query::parse(request.query_string()).and_then(Query::finish) {
        return Ok(request.error_response(Rejection::from(error)));
    }
    next.call(request).await.map(boxed)
}
