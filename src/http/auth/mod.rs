//! Authentication and authorization of requests.
//!
//! [`Access`] is the access rule of a route. `middleware::authorize` authenticates the request ([`identify()`]), checks
//! it against the rule ([`Access::admit`]) and stores a [`Principal`] in the request. Handlers read permissions only
//! from the principal.

mod access;
mod credentials;

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

pub use self::access::{Access, Scope};
pub(super) use self::credentials::{API_KEY_HEADER, carries_api_key, identify, is_sent};
use super::HttpState;
use super::extract::RequestContext;
use super::problem::Rejection;
pub use crate::accounts::{Credential, Principal};
use crate::error::Error;
use crate::lending::Caller;

/// Checks the principal of a request again, after receiving data from the client. Returns a 401 if the credential is
/// no longer valid or its role has changed.
pub(super) async fn confirm(request: &HttpRequest) -> Result<(), Rejection> {
    let principal = request.extensions().get::<Principal>().cloned();
    let Some(principal) = principal else { return Ok(()) };
    let state = HttpState::extract(request).await?;
    Ok(state.accounts.confirm(&principal).await?)
}

fn caller(principal: &Principal, context: RequestContext) -> Caller {
    Caller {
        account: principal.account.clone(),
        account_id: principal.credential.id(),
        role: principal.role,
        initiator: principal.initiator(),
        may_see: principal.visibility(),
        may_change: principal.visibility_for_changes(),
        request_id: context.request_id,
        traceparent: Some(context.traceparent),
    }
}

/// For handlers that call the lending use cases.
impl FromRequest for Caller {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let principal = Principal::from_request(request, payload).into_inner();
        let context = RequestContext::from_request(request, payload).into_inner();
        ready(principal.and_then(|principal| Ok(caller(&principal, context?))))
    }
}

impl FromRequest for Principal {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = request.extensions().get::<Self>().cloned();
        ready(
            principal
                .ok_or_else(|| Error::internal("a handler of a public route extracts a principal").into()),
        )
    }
}
