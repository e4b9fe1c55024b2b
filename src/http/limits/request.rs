//! Counting the request at hand.

use actix_web::{FromRequest as _, HttpMessage as _, HttpRequest};

use super::{LimitChecks, LimitClass, Payer};
use crate::error::{Error, Result};
use crate::http::{HttpServerState, UNMATCHED};

/// What a request is counted as, and what has been said to it so far. It stands in the request's extensions.
#[derive(Debug, Clone)]
pub(in crate::http) struct RequestLimits {
    class: LimitClass,
    pub(in crate::http) verdicts: LimitChecks,
}

impl RequestLimits {
    pub(in crate::http) fn new(class: LimitClass) -> Self {
        Self { class, verdicts: LimitChecks::default() }
    }
}

/// Counts a request for `payer`, in the class of its route.
///
/// # Errors
/// [`Error::RateLimited`] when it does not fit.
pub(in crate::http) async fn check(
    request: &HttpRequest,
    server_state: &HttpServerState,
    payer: Payer<'_>,
) -> Result<()> {
    let class = request.extensions().get::<RequestLimits>().map(|limits| limits.class);
    check_as(request, server_state, class.unwrap_or(LimitClass::Standard), payer).await
}

/// Counts a request for `payer`, in another class than that of its route.
///
/// # Errors
/// [`Error::RateLimited`] when it does not fit.
pub(in crate::http) async fn check_as(
    request: &HttpRequest,
    server_state: &HttpServerState,
    class: LimitClass,
    payer: Payer<'_>,
) -> Result<()> {
    let Some(verdict) = server_state.inner.limiter.check(class, payer).await else { return Ok(()) };
    if let Some(limits) = request.extensions_mut().get_mut::<RequestLimits>() {
        limits.verdicts.add(verdict);
    }
    let Some(retry_after) = verdict.retry_after else { return Ok(()) };
    let route = request.match_pattern().unwrap_or_else(|| UNMATCHED.to_owned());
    server_state.inner.metrics.rate_limited_total.with_label_values(&[&route]).inc();
    Err(Error::RateLimited { retry_after })
}

/// Counts a request for what only its handler knows: the name that somebody tries to log in with, the provider that a
/// webhook's signature proves. A handler asks before it spends anything on the request.
///
/// # Errors
/// [`Error::RateLimited`] when it does not fit.
pub async fn check_subject(request: &HttpRequest, subject: &str) -> Result<()> {
    let Ok(server_state) = HttpServerState::extract(request).await else { return Ok(()) };
    check(request, &server_state, Payer::Subject(subject)).await
}
