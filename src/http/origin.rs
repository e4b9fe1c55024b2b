//! Extracts the [`ChangeOrigin`] of a request, which is recorded in security events. It is not the HTTP header `Origin`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::auth::Principal;
use super::client_address::ClientAddress;
use super::extract::RequestContext;
use super::problem::Rejection;
use crate::accounts::ChangeOrigin;
use crate::error::Error;

/// The largest stored length of `User-Agent`, in characters.
const MAX_USER_AGENT_CHARS: usize = 256;

impl FromRequest for ChangeOrigin {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let principal = extensions.get::<Principal>().cloned();
        let origin = extensions.get::<ClientAddress>().zip(extensions.get::<RequestContext>()).map(
            |(address, context)| {
                let request_id = context.request_id.to_string();
                Self::request(principal, address.ip(), request_id, user_agent(request))
            },
        );
        ready(origin.ok_or_else(|| Error::internal("a request without its address or its context").into()))
    }
}

/// The beginning of `User-Agent`, if it is visible ASCII.
fn user_agent(request: &HttpRequest) -> Option<String> {
    let text = request.headers().get(header::USER_AGENT)?.to_str().ok()?.trim();
    let kept: String = text.chars().take(MAX_USER_AGENT_CHARS).collect();
    (!kept.is_empty()).then_some(kept)
}
