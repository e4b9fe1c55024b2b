//! Rate limits. Each route counts a request for its address before authentication, and for its account afterwards.
//! Requests that reach no route are counted for their address.

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest};

use super::boxed;
use super::route_rules::RouteRules;
use crate::error::Result;
use crate::http::HttpServerState;
use crate::http::auth::{self, Principal};
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
    let counted = count_address(request.request(), &server_state, address_class, requester).await;
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

/// Counts a request for its address. The limit of ingestion is high, so it does not slow down attempts to guess a key.
/// Failed attempts are charged to the standard limit, which must therefore not be used up.
async fn count_address(
    request: &HttpRequest,
    server_state: &HttpServerState,
    class: LimitClass,
    requester: Requester<'_>,
) -> Result<()> {
    if class == LimitClass::Ingest {
        limits::check_exhausted(request, server_state, LimitClass::Standard, requester).await?;
    }
    limits::check_as(request, server_state, class, requester).await
}

/// Counts a request for its account. The handler of ingestion counts its events instead.
async fn count_account(
    request: &HttpRequest,
    server_state: &HttpServerState,
    principal: &Principal,
) -> Result<()> {
    let requester = Requester::of(principal);
    let class = request.extensions().get::<RouteRules>().map(|rules| rules.limit);
    match class {
        Some(LimitClass::Ingest) => {
            limits::check_exhausted(request, server_state, LimitClass::Ingest, requester).await
        }
        _ => limits::check(request, server_state, requester).await,
    }
}

/// Counts a request for its account and runs it within the account's share of database connections.
pub(in crate::http) async fn limit_account(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let principal = request.extensions().get::<Principal>().cloned();
    let Some(principal) = &principal else { return next.call(request).await.map(boxed) };
    if let Err(error) = count_account(request.request(), &server_state, principal).await {
        return Ok(request.error_response(Rejection::from(error)));
    }
    match server_state.state() {
        Ok(state) => {
            let shares = state.resources.database.shares();
            shares.on_behalf_of(&principal.account, next.call(request)).await.map(boxed)
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
