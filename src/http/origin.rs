//! Extracts the [`Origin`] of a request, which is recorded in security events. It is not the HTTP header `Origin`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::auth::Principal;
use super::client_address::ClientAddress;
use super::extract::RequestContext;
use super::problem::Rejection;
use crate::accounts::Origin;
use crate::error::Error;

impl FromRequest for Origin {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let principal = extensions.get::<Principal>().cloned();
        let origin = extensions
            .get::<ClientAddress>()
            .zip(extensions.get::<RequestContext>())
            .map(|(address, context)| Self::request(principal, address.ip(), context.request_id.to_string()));
        ready(origin.ok_or_else(|| Error::internal("a request without its address or its context").into()))
    }
}
