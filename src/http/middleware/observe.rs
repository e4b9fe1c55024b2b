//! Observability of requests: request ID, log line and metrics, and the final form of error responses.

use std::sync::Arc;
use std::time::Duration;

use actix_web::Error as ActixError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use slog::{Logger, error, info, o, warn};

use super::boxed;
use super::request_context::{self, X_REQUEST_ID};
use crate::http::auth::Principal;
use crate::http::extract::RequestContext;
use crate::http::problem::{CONTENT_TYPE, Problem, Rejection};
use crate::http::{HttpServerState, UNMATCHED};
use crate::telemetry::metrics::{Metrics, seconds};

/// Sets the context of a request; adds the request ID and problem details to its response; logs and counts it.
pub(in crate::http) async fn observe(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let clock = &server_state.inner.clock;
    let context = request_context::read(request.headers(), clock);
    request.extensions_mut().insert(context.clone());
    let endpoint = request.match_pattern().unwrap_or_else(|| UNMATCHED.to_owned());
    let method = method_label(request.method());
    let in_progress = InProgress::new(Arc::clone(&server_state.inner.metrics), method, &endpoint);
    let started = clock.monotonic();
    let response = next.call(request).await.map(boxed)?;
    let took = clock.monotonic().saturating_sub(started);
    drop(in_progress);

    let logger = server_state.inner.logger.new(o!("request_id" => context.request_id.to_string()));
    let mut response = with_problem(response, &context, &logger);
    if let Ok(value) = HeaderValue::from_str(context.request_id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    count(&server_state.inner.metrics, method, &endpoint, response.status(), took);
    if let Some(omitted) = line_is_due(&server_state, response.request()) {
        info!(logger, "request completed"; "method" => method, "route" => endpoint, "status" => response.status().as_u16(),
            "duration_us" => u64::try_from(took.as_micros()).unwrap_or(u64::MAX), "trace_id" => context.trace_id());
        if omitted > 0 {
            warn!(logger, "log lines of unauthenticated requests omitted"; "lines" => omitted);
        }
    }
    Ok(response)
}

/// Whether a request is logged, and how many lines were omitted since the last one. Authenticated requests are always
/// logged; all others are limited, because anyone can send any number of them.
fn line_is_due(server_state: &HttpServerState, request: &HttpRequest) -> Option<u64> {
    if request.extensions().contains::<Principal>() {
        return Some(0);
    }
    let inner = &server_state.inner;
    let admitted = inner.anonymous_lines.admit(inner.clock.monotonic());
    if admitted.is_none() {
        inner.metrics.http_log_lines_omitted_total.inc();
    }
    admitted
}

/// Bounds the label values in metrics, because clients can send arbitrary methods.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// Converts a rejection into a problem with the request ID and logs details that are not shown to the client. Error
/// responses of libraries are converted into problems too.
fn with_problem(
    response: ServiceResponse<BoxBody>,
    context: &RequestContext,
    logger: &Logger,
) -> ServiceResponse<BoxBody> {
    let request_id = Some(context.request_id.as_str());
    let status = response.status();
    let rejection = response.response().error().and_then(ActixError::as_error::<Rejection>).cloned();
    if let Some(rejection) = rejection {
        log(&rejection, logger);
        let (request, answer) = response.into_parts();
        return ServiceResponse::new(request, with_fields_of(&answer, rejection.response(request_id)));
    }
    if !(status.is_client_error() || status.is_server_error()) || is_problem(&response) {
        return response;
    }
    if status.is_server_error() {
        let cause = response.response().error().map(ToString::to_string);
        error!(logger, "a library returned an error response"; "status" => status.as_u16(), "cause" => cause);
    }
    let (request, answer) = response.into_parts();
    ServiceResponse::new(request, with_fields_of(&answer, Problem::of_status(status, request_id).response()))
}

/// Copies the headers of the response that a problem replaces.
fn with_fields_of(answer: &HttpResponse<BoxBody>, mut problem: HttpResponse) -> HttpResponse {
    let is_new = |name: &HeaderName| *name != header::CONTENT_LENGTH && !problem.headers().contains_key(name);
    let fields: Vec<_> = answer.headers().iter().filter(|(name, _)| is_new(name)).collect();
    for (name, value) in fields {
        problem.headers_mut().append(name.clone(), value.clone());
    }
    problem
}

fn is_problem(response: &ServiceResponse<BoxBody>) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == CONTENT_TYPE)
}

/// Logs a 5xx rejection once, with its cause.
fn log(rejection: &Rejection, logger: &Logger) {
    let Rejection::Error(error) = rejection else { return };
    match rejection.kind().status {
        500 => error!(logger, "a request failed"; error),
        503 => warn!(logger, "a request could not be served"; error),
        _ => {}
    }
}

fn count(metrics: &Metrics, method: &str, endpoint: &str, status: StatusCode, took: Duration) {
    metrics.http_requests_total.with_label_values(&[method, endpoint, status.as_str()]).inc();
    metrics.http_request_duration_seconds.with_label_values(&[method, endpoint]).observe(seconds(took));
}

/// Counts a request while it is in progress, even if the client disconnects.
struct InProgress {
    gauge: prometheus::IntGauge,
}

impl InProgress {
    fn new(metrics: Arc<Metrics>, method: &str, endpoint: &str) -> Self {
        let gauge = metrics.http_requests_in_progress.with_label_values(&[method, endpoint]);
        gauge.inc();
        Self { gauge }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
