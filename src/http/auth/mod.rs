//! Who asks, and what it may do.
//!
//! [`Access`] says who may use a route; `middleware::authorize` finds out who asks ([`identify()`]), holds it against the
//! route's access ([`Access::admit`]) and leaves a [`Principal`] for the handler, which asks it what its account may see
//! and never looks further.

mod access;
mod credentials;

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

pub use self::access::{Access, Scope};
pub(super) use self::credentials::{API_KEY_HEADER, identify, is_sent};
use super::problem::Rejection;
pub use crate::accounts::{Credential, Principal};
use crate::error::Error;

impl FromRequest for Principal {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = request.extensions().get::<Self>().cloned();
        ready(principal.ok_or_else(|| Error::internal("a handler of a public route asks who asks").into()))
    }
}
