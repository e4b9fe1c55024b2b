use std::collections::HashMap;
use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::dev::Service;
use actix_web::http::{Method, header};
use actix_web::test::{TestRequest, init_service};
use serde_json::Value;

use super::*;
use crate::clock::Clock;
use crate::config::Settings;
use crate::events::registry::EventRegistry;
use crate::http::health::Phase;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::KnownLabels;

/// A server state with a short request timeout that has not been opened.
pub(in crate::http) fn server_state() -> HttpServerState {
    let variables = HashMap::from([
        ("AVAL__SERVER__BODY_LIMIT_BYTES".to_owned(), "4096".to_owned()),
        ("AVAL__SERVER__REQUEST_TIMEOUT_MS".to_owned(), "100".to_owned()),
    ]);
    let settings = Arc::new(Settings::from_variables(&variables).unwrap());
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let known = KnownLabels::default();
    let telemetry = Telemetry::new(&settings, &Clock::system(), logger, &known).unwrap();
    HttpServerState::new(settings, Clock::system(), &telemetry, &EventRegistry::default()).unwrap()
}

fn opened() -> HttpServerState {
    let server_state = server_state();
    server_state.readiness().enter(Phase::Ready);
    server_state
}

struct Seen {
    status: u16,
    headers: header::HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    async fn of(response: ServiceResponse<impl MessageBody>) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = to_bytes(response.into_body()).await.ok().unwrap().to_vec();
        Self { status, headers, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem in the response, checked for completeness.
    fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"], self.header("x-request-id").unwrap());
        problem
    }
}

async fn send(server_state: &HttpServerState, request: TestRequest) -> Seen {
    let service = init_service(app(server_state)).await;
    Seen::of(service.call(request.to_request()).await.unwrap()).await
}

fn request(method: Method, path: &str) -> TestRequest {
    TestRequest::default().method(method).uri(path)
}

#[actix_rt::test]
async fn during_startup_only_the_liveness_probe_succeeds() {
    let closed = server_state();
    for path in ["/health/live", "/api/v1/health/live"] {
        assert_eq!(send(&closed, request(Method::GET, path)).await.status, 200);
    }
    for path in
        ["/health", "/health/ready", "/health/detailed", "/api/v1/applications", "/nowhere", "/metrics"]
    {
        let seen = send(&closed, request(Method::GET, path)).await;
        assert_eq!((seen.status, seen.problem()["code"].as_str()), (503, Some("unavailable")), "{path}");
        assert_eq!(seen.header("retry-after"), Some("1"));
    }
}

#[actix_rt::test]
async fn unknown_paths_and_methods_are_problems() {
    let server_state = opened();
    for path in ["/nowhere", "/api/v1", "/api/v1/applications/", "/api/v1/test", "/%ff", "/%zz", "//"] {
        let seen = send(&server_state, request(Method::GET, path)).await;
        assert_eq!((seen.status, seen.problem()["code"].as_str()), (404, Some("not_found")), "{path}");
    }
    let seen = send(&server_state, request(Method::PUT, "/api/v1/applications")).await;
    assert_eq!((seen.status, seen.problem()["code"].as_str()), (405, Some("method_not_allowed")));
    assert_eq!(seen.header("allow"), Some("POST, GET, HEAD, OPTIONS"));
    let seen = send(&server_state, request(Method::from_bytes(b"BREW").unwrap(), "/health")).await;
    assert_eq!((seen.status, seen.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[actix_rt::test]
async fn options_lists_the_methods_and_head_is_served_like_get() {
    let server_state = opened();
    let seen = send(&server_state, request(Method::OPTIONS, "/api/v1/applications/x")).await;
    assert_eq!((seen.status, seen.header("allow")), (204, Some("GET, HEAD, PATCH, DELETE, OPTIONS")));
    assert_eq!(send(&server_state, request(Method::HEAD, "/health/live")).await.status, 200);
}

#[actix_rt::test]
async fn the_documentation_is_served_from_the_binary() {
    let server_state = opened();
    let document = send(&server_state, request(Method::GET, "/openapi.json")).await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    let document: Value = serde_json::from_slice(&document.body).unwrap();
    assert!(document["paths"]["/api/v1/test/inject-failure"].is_object(), "development has fault injection");
    assert_eq!(send(&server_state, request(Method::GET, "/docs")).await.header("location"), Some("/docs/"));
    let page = send(&server_state, request(Method::GET, "/docs/")).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    let script = send(&server_state, request(Method::GET, "/docs/swagger-initializer.js")).await;
    assert!(String::from_utf8(script.body).unwrap().contains("/openapi.json"));
    let seen = send(&server_state, request(Method::GET, "/docs/../../etc/passwd")).await;
    assert_eq!((seen.status, seen.problem()["code"].as_str()), (404, Some("not_found")));
}

#[actix_rt::test]
async fn a_request_keeps_its_identifier_and_is_counted_by_its_route() {
    let server_state = opened();
    let named = request(Method::GET, "/health/live").insert_header(("x-request-id", "mine-1"));
    assert_eq!(send(&server_state, named).await.header("x-request-id"), Some("mine-1"));
    send(&server_state, request(Method::GET, "/api/v1/applications/not-a-uuid/audit")).await;
    send(&server_state, request(Method::from_bytes(b"X").unwrap(), "/nowhere/secret")).await;
    let text = server_state.inner.metrics.render().unwrap();
    assert!(
        text.contains(r#"http_requests_total{endpoint="/health/live",method="GET",status_code="200"} 1"#)
    );
    assert!(text.contains(r#"endpoint="/api/v1/applications/{id}/audit",method="GET""#), "{text}");
    assert!(text.contains(r#"http_requests_total{endpoint="unmatched",method="OTHER",status_code="404"} 1"#));
    assert!(text.contains(r#"http_requests_in_progress{endpoint="unmatched",method="OTHER"} 0"#));
    assert!(!text.contains("secret"));
}

async fn panics() -> HttpResponse {
    panic!("hunter2")
}

async fn hangs() -> HttpResponse {
    std::future::pending().await
}

async fn fails_in_a_library() -> Result<HttpResponse, ActixError> {
    Err(actix_web::error::ErrorImATeapot("hunter2"))
}

#[actix_rt::test]
async fn a_handler_that_panics_hangs_or_fails_in_a_library_returns_a_problem() {
    let server_state = opened();
    let guarded = |handler| web::resource("/x").route(handler).wrap(from_fn(middleware::guard));
    for (handler, status, code) in [
        (web::get().to(panics), 500, "internal_error"),
        (web::get().to(hangs), 503, "timeout"),
        (web::get().to(fails_in_a_library), 418, "request_refused"),
    ] {
        let app = App::new()
            .app_data(server_state.clone())
            .service(guarded(handler))
            .wrap(from_fn(middleware::gate))
            .wrap(from_fn(middleware::observe));
        let service = init_service(app).await;
        let answer = service.call(request(Method::GET, "/x").to_request()).await.unwrap();
        let seen = Seen::of(answer).await;
        assert_eq!((seen.status, seen.problem()["code"].as_str()), (status, Some(code)));
        assert!(!String::from_utf8(seen.body).unwrap().contains("hunter2"));
    }
}
