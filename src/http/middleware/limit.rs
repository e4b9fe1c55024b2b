//! Rate limits. Each route counts a request for its address before authentication, and for its account afterwards.
//! Requests that reach no route are counted for their address.

use actix_web::Error as ActixError;
use actix_web::HttpMessage as _;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;

use super::boxed;
use super::route_rules::RouteRules;
use crate::http::HttpServerState;
use crate::http::auth::{self, Credential, Principal};
use crate::http::client_address::ClientAddress;
use crate::http::health::Phase;
use crate::http::limits::{self, LimitClass, RequestLimits, Requester};
use crate::http::problem::Rejection;

/// Counts a request for its client address, stores the [`ClientAddress`] for handlers, and adds the rate limit headers
/// to the response. A failed authentication is charged to the address.
pub(in crate::http) async fn limit_address(
    rules: RouteRules,
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let address = ClientAddress::of(request.request(), &server_state.settings().server.trusted_proxies);
    request.extensions_mut().insert(address);
    request.extensions_mut().insert(rules);
    request.extensions_mut().insert(rules.body);
    request.extensions_mut().insert(RequestLimits::new(rules.limit));
    // Creations by API keys are limited per key, which is not authenticated yet.
    let address_class = match rules.limit {
        LimitClass::Create if auth::carries_api_key(request.headers()) => LimitClass::Standard,
        class => class,
    };
    let requester = Requester::Address(address);
    let counted = limits::check_as(request.request(), &server_state, address_class, requester).await;
    let mut response = match counted {
        Ok(()) => next.call(request).await.map(boxed)?,
        Err(error) => request.error_response(Rejection::from(error)),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        server_state.inner.limiter.charge_failed_authentication(address).await;
    }
    let request_limits = response.request().extensions().get::<RequestLimits>().cloned();
    if let Some(request_limits) = request_limits {
        request_limits.checks.write(response.headers_mut());
    }
    Ok(response)
}

/// Counts a request for its account and runs it within the account's share of database connections.
pub(in crate::http) async fn limit_account(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let principal = request.extensions().get::<Principal>().cloned();
    let Some(Principal { account, role, credential, .. }) = &principal else {
        return next.call(request).await.map(boxed);
    };
    let requester = match credential {
        Credential::Token { .. } => Requester::Account { name: account, role: *role },
        Credential::ApiKey { limits, .. } => Requester::ApiKey { name: account, limits: *limits },
    };
    if let Err(error) = limits::check(request.request(), &server_state, requester).await {
        return Ok(request.error_response(Rejection::from(error)));
    }
    match server_state.state() {
        Ok(state) => {
            let shares = state.resources.database.shares();
            shares.on_behalf_of(account, next.call(request)).await.map(boxed)
        }
        Err(rejection) => Ok(request.error_response(rejection)),
    }
}

/// Counts requests that no route has counted for their client address, because refusing them has a cost too: unknown
/// paths, unsupported methods, `OPTIONS`, heads that are too large, and anything else refused before routing.
pub(in crate::http) async fn limit_the_rest(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let response = next.call(request).await.map(boxed)?;
    let request = response.request().clone();
    let is_counted = request.extensions().contains::<RequestLimits>();
    if is_counted || server_state.readiness().phase() == Phase::Starting {
        return Ok(response);
    }
    let address = ClientAddress::of(&request, &server_state.settings().server.trusted_proxies);
    request.extensions_mut().insert(RequestLimits::new(LimitClass::Standard));
    let counted = limits::check(&request, &server_state, Requester::Address(address)).await;
    let request_limits = request.extensions().get::<RequestLimits>().cloned();
    let mut response = match counted {
        Ok(()) => response,
        Err(error) => ServiceResponse::from_err(Rejection::from(error), request),
    };
    if let Some(request_limits) = request_limits {
        request_limits.checks.write(response.headers_mut());
    }
    Ok(response)
}
