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
use super::request_context::{self, TRACERESPONSE, X_REQUEST_ID};
use super::route_rules::RouteRules;
use crate::http::auth::Principal;
use crate::http::extract::RequestContext;
use crate::http::limits::LimitClass;
use crate::http::problem::{CONTENT_TYPE, Problem, Rejection};
use crate::http::{HttpServerState, UNMATCHED};
use crate::telemetry::metrics::{Metrics, seconds};
use crate::telemetry::trace::{Entered, KeyValue, SpanKind};

/// Enters the trace of a request and sets its context; adds the request ID, the trace context and problem details to its
/// response; logs and counts the request.
pub(in crate::http) async fn observe(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let endpoint = request.match_pattern().unwrap_or_else(|| UNMATCHED.to_owned());
    let method = method_label(request.method());
    let span = enter_trace(&server_state, &request, method, &endpoint);
    let context = RequestContext {
        request_id: request_context::request_id(request.headers(), &server_state.inner.clock),
        traceparent: span.traceparent(),
    };
    request.extensions_mut().insert(context.clone());
    let answered = span.run(handle(server_state, request, next, context, method, endpoint)).await;
    if let Ok(response) = &answered {
        describe(&span, response);
    }
    answered
}

/// A span that follows the semantic conventions for HTTP servers. It contains no path and no query, because clients may
/// put personal data there.
fn enter_trace(
    server_state: &HttpServerState,
    request: &ServiceRequest,
    method: &'static str,
    endpoint: &str,
) -> Entered {
    let caller = request_context::traceparent(request.headers());
    server_state.inner.tracer.enter(caller, SpanKind::Server, || {
        let attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", endpoint.to_owned()),
            KeyValue::new("url.scheme", request.connection_info().scheme().to_owned()),
        ];
        (format!("{method} {endpoint}").into(), attributes)
    })
}

fn describe(span: &Entered, response: &ServiceResponse<BoxBody>) {
    let status = response.status();
    span.set(|| {
        let mut attributes = vec![KeyValue::new("http.response.status_code", i64::from(status.as_u16()))];
        if let Some(account) = account_id(response.request()) {
            attributes.push(KeyValue::new("user.id", account));
        }
        attributes
    });
    if status.is_server_error() {
        span.fail("server error");
    }
}

/// The identifier of the account. Names may identify a person.
fn account_id(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<Principal>().map(|principal| principal.credential.id().to_string())
}

async fn handle(
    server_state: HttpServerState,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    context: RequestContext,
    method: &'static str,
    endpoint: String,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let clock = &server_state.inner.clock;
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
    if let Ok(value) = HeaderValue::from_str(&context.traceparent) {
        response.headers_mut().insert(TRACERESPONSE, value);
    }
    count(&server_state.inner.metrics, method, &endpoint, response.status(), took);
    if let Some(omitted) = line_is_due(&server_state, &response) {
        info!(logger, "request completed"; "method" => method, "route" => endpoint, "status" => response.status().as_u16(),
            "duration_us" => u64::try_from(took.as_micros()).unwrap_or(u64::MAX), "account" => account_id(response.request()));
        if omitted > 0 {
            warn!(logger, "log lines of unauthenticated requests omitted"; "lines" => omitted);
        }
    }
    Ok(response)
}

/// Whether a request is logged, and how many lines were omitted since the last one. Authenticated requests are logged, except
/// for accepted ingest requests, because there are too many. All others are limited, because anyone can send any number
/// of them.
fn line_is_due(server_state: &HttpServerState, response: &ServiceResponse<BoxBody>) -> Option<u64> {
    let extensions = response.request().extensions();
    if extensions.contains::<Principal>() {
        let is_ingest = extensions.get::<RouteRules>().is_some_and(|rules| rules.limit == LimitClass::Ingest);
        return (!is_ingest || !response.status().is_success()).then_some(0);
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
        let (request, replaced) = response.into_parts();
        return ServiceResponse::new(request, with_headers_of(&replaced, rejection.response(request_id)));
    }
    if !(status.is_client_error() || status.is_server_error()) || is_problem(&response) {
        return response;
    }
    if status.is_server_error() {
        let cause = response.response().error().map(ToString::to_string);
        error!(logger, "a library returned an error response"; "status" => status.as_u16(), "cause" => cause);
    }
    let (request, replaced) = response.into_parts();
    ServiceResponse::new(
        request,
        with_headers_of(&replaced, Problem::of_status(status, request_id).response()),
    )
}

/// Copies the headers of the response that a problem replaces.
fn with_headers_of(replaced: &HttpResponse<BoxBody>, mut problem: HttpResponse) -> HttpResponse {
    let is_new = |name: &HeaderName| *name != header::CONTENT_LENGTH && !problem.headers().contains_key(name);
    let fields: Vec<_> = replaced.headers().iter().filter(|(name, _)| is_new(name)).collect();
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
