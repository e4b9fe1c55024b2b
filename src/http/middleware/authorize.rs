//! Enforces the access rule of a route.

use actix_web::Error as ActixError;
use actix_web::HttpMessage as _;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::http::HttpServerState;
use crate::http::auth::{self, Access, Principal};
use crate::http::problem::Rejection;
use crate::telemetry::trace;

/// Authenticates the client, checks the route's `access` and stores the [`Principal`] for the handler. Runs before the
/// body is read.
pub(in crate::http) async fn authorize(
    access: Access,
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    if access.requires_authentication(server_state.settings().environment) {
        match admitted(access, &server_state, &request).await {
            Ok(principal) => {
                let account = principal.credential.id();
                request.extensions_mut().insert(principal);
                return trace::for_account(account, next.call(request)).await.map(boxed);
            }
            Err(rejection) => return Ok(request.error_response(rejection)),
        }
    }
    next.call(request).await.map(boxed)
}

async fn admitted(
    access: Access,
    server_state: &HttpServerState,
    request: &ServiceRequest,
) -> Result<Principal, Rejection> {
    let principal = auth::identify(request.headers(), &server_state.state()?.accounts).await?;
    access.admit(&principal)?;
    Ok(principal)
}
