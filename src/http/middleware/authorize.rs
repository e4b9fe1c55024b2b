//! Nobody gets further than the route's access allows.

use actix_web::Error as ActixError;
use actix_web::HttpMessage as _;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::Entrance;
use crate::http::auth::{self, Access, Principal};
use crate::http::problem::Rejection;

/// Lets a request through when its route's `access` allows whoever sent it, whom the handler finds as its [`Principal`].
/// It stands before the body is read.
pub(in crate::http) async fn authorize(
    access: Access,
    entrance: Entrance,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    if access.asks_who(entrance.settings().environment) {
        match admitted(access, &entrance, &request).await {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
            }
            Err(rejection) => return Ok(request.error_response(rejection)),
        }
    }
    next.call(request).await.map(boxed)
}

async fn admitted(
    access: Access,
    entrance: &Entrance,
    request: &ServiceRequest,
) -> Result<Principal, Rejection> {
    let principal = auth::identify(request.headers(), &entrance.state()?.accounts).await?;
    access.admit(&principal)?;
    Ok(principal)
}
