//! Rate limiting of the current request.

use actix_web::{FromRequest as _, HttpMessage as _, HttpRequest};

use super::{LimitCheck, LimitChecks, LimitClass, Requester};
use crate::error::{Error, Result};
use crate::http::auth::Principal;
use crate::http::{HttpServerState, UNMATCHED};

/// The limit class of a request and the results so far, stored in the request's extensions.
#[derive(Debug, Clone)]
pub(in crate::http) struct RequestLimits {
    class: LimitClass,
    pub(in crate::http) checks: LimitChecks,
}

impl RequestLimits {
    pub(in crate::http) fn new(class: LimitClass) -> Self {
        Self { class, checks: LimitChecks::default() }
    }
}

/// Counts a request for `requester` in the class of its route. Fails with [`Error::RateLimited`] if the limit is
/// exceeded.
pub(in crate::http) async fn check(
    request: &HttpRequest,
    server_state: &HttpServerState,
    requester: Requester<'_>,
) -> Result<()> {
    let class = request.extensions().get::<RequestLimits>().map(|limits| limits.class);
    check_as(request, server_state, class.unwrap_or(LimitClass::Standard), requester).await
}

/// Counts a request for `requester` in a class other than that of its route. Fails with [`Error::RateLimited`] if the
/// limit is exceeded.
pub(in crate::http) async fn check_as(
    request: &HttpRequest,
    server_state: &HttpServerState,
    class: LimitClass,
    requester: Requester<'_>,
) -> Result<()> {
    let counted = server_state.inner.limiter.check(class, requester).await;
    counted.map_or(Ok(()), |check_result| add_check(request, server_state, check_result))
}

/// Counts the ingested events of a request for its account. Fails with [`Error::RateLimited`] if they exceed the limit; then
/// none is counted.
pub(in crate::http) async fn check_events(
    request: &HttpRequest,
    server_state: &HttpServerState,
    principal: &Principal,
    events: usize,
) -> Result<()> {
    let cost = u32::try_from(events).unwrap_or(u32::MAX);
    let requester = Requester::of(principal);
    let counted = server_state.inner.limiter.check_many(LimitClass::Ingest, requester, cost).await;
    counted.map_or(Ok(()), |check_result| add_check(request, server_state, check_result))
}

/// Fails with [`Error::RateLimited`] if the limit of `class` is used up. Counts nothing.
pub(in crate::http) async fn check_exhausted(
    request: &HttpRequest,
    server_state: &HttpServerState,
    class: LimitClass,
    requester: Requester<'_>,
) -> Result<()> {
    let check_result = server_state.inner.limiter.check_many(class, requester, 0).await;
    match check_result.filter(|check_result| check_result.retry_after.is_some()) {
        Some(exceeded) => add_check(request, server_state, exceeded),
        None => Ok(()),
    }
}

/// Adds a result to the headers of the response. Fails if the limit is exceeded.
fn add_check(request: &HttpRequest, server_state: &HttpServerState, check_result: LimitCheck) -> Result<()> {
    if let Some(limits) = request.extensions_mut().get_mut::<RequestLimits>() {
        limits.checks.add(check_result);
    }
    let Some(retry_after) = check_result.retry_after else { return Ok(()) };
    let route = request.match_pattern().unwrap_or_else(|| UNMATCHED.to_owned());
    server_state.inner.metrics.rate_limited_total.with_label_values(&[&route]).inc();
    Err(Error::RateLimited { retry_after })
}

/// Counts a request for a subject that is known only to the handler, such as the name in a sign-in or the bureau
/// that signed a webhook. Handlers call this before any expensive work. Fails with [`Error::RateLimited`] if the limit
/// is exceeded.
pub async fn check_subject(request: &HttpRequest, subject: &str) -> Result<()> {
    let Ok(server_state) = HttpServerState::extract(request).await else { return Ok(()) };
    check(request, &server_state, Requester::Subject(subject)).await
}
