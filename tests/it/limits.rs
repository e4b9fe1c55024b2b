//! Limits on clients: rate limits, connections, sizes.

use actix_web::http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::app::{Answer, TestApp};
use crate::support::builders::spanish;
use crate::support::{PATIENCE, eventually, trickle};

const ON: (&str, &str) = ("AVAL__LIMITS__ENABLED", "true");
const TRUST_LOOPBACK: (&str, &str) = ("AVAL__SERVER__TRUSTED_PROXIES", "127.0.0.0/8");

/// The remaining requests of a limit, from the `RateLimit` header.
fn remaining(answer: &Answer, limit: &str) -> Option<u32> {
    let item =
        answer.header("ratelimit").split(", ").find(|item| item.starts_with(&format!("\"{limit}\"")))?;
    item.split(";r=").nth(1)?.split(';').next()?.parse().ok()
}

#[actix_rt::test]
async fn the_eleventh_application_of_a_minute_is_rejected_with_retry_after() {
    let app = TestApp::start(&[ON, ("AVAL__LIMITS__STANDARD__ADDRESS__BURST", "5000")]).await;
    for left in (0..10).rev() {
        let created = app.post("/api/v1/applications", &spanish()).await;
        let policies = r#""create-address";q=10;w=60, "create-account";q=10;w=60"#;
        assert_eq!((created.status.as_u16(), created.header("ratelimit-policy")), (201, policies));
        assert_eq!(remaining(&created, "create-address"), Some(left));
    }
    let refused = app.post("/api/v1/applications", &json!({"not": "parsed"})).await;
    assert_eq!((refused.status.as_u16(), &refused.json["code"]), (429, &json!("rate_limited")));
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(remaining(&refused, "create-address"), Some(0));
    assert!(!refused.header("x-request-id").is_empty());
    let list = app.get("/api/v1/applications").await;
    assert_eq!((list.status.as_u16(), remaining(&list, "create-address")), (200, None));
    assert!(remaining(&list, "standard-account").is_some());
    let refusals = app.metric(r#"rate_limited_total{route="/api/v1/applications"}"#).await;
    assert!((refusals - 1.0).abs() < f64::EPSILON);
}

#[actix_rt::test]
async fn an_account_is_limited_across_addresses() {
    let app = TestApp::start(&[ON, TRUST_LOOPBACK]).await;
    let mut accepted = 0;
    for host in 0..15 {
        let address = format!("203.0.113.{host}");
        let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", address.as_str())];
        let answer = app.send(Method::POST, "/api/v1/applications", &headers, spanish().to_string()).await;
        assert!(remaining(&answer, "create-address").is_some_and(|left| left == 9), "{address}");
        accepted += u32::from(answer.status.as_u16() == 201);
    }
    assert_eq!(accepted, 10);
}

#[actix_rt::test]
async fn a_forged_forwarded_address_is_ignored() {
    // A higher rate would refill the limit between the requests.
    let app = TestApp::start(&[ON, ("AVAL__LIMITS__STANDARD__ADDRESS__PER_MINUTE", "1")]).await;
    let mut last = None;
    for host in 0..3 {
        let address = format!("203.0.113.{host}");
        let answer =
            app.send(Method::GET, "/api/v1/countries", &[("X-Forwarded-For", address.as_str())], "").await;
        last = remaining(&answer, "standard-address");
    }
    assert!(last.is_some_and(|left| left < 299), "{last:?}");
}

#[actix_rt::test]
async fn probes_are_never_limited_and_nothing_is_limited_if_limits_are_disabled() {
    let tight = [
        ON,
        ("AVAL__LIMITS__STANDARD__ADDRESS__BURST", "1"),
        ("AVAL__LIMITS__STANDARD__ADDRESS__PER_MINUTE", "1"),
    ];
    let app = TestApp::start(&tight).await;
    app.get("/api/v1/countries").await.expect(200);
    app.get("/api/v1/countries").await.expect(429);
    for _ in 0..5 {
        let live = app.get("/health/live").await;
        assert_eq!((live.status.as_u16(), live.header("ratelimit")), (200, ""));
    }
    let app = TestApp::start(&[]).await;
    for _ in 0..12 {
        let created = app.post("/api/v1/applications", &spanish()).await;
        assert_eq!((created.status.as_u16(), created.header("ratelimit")), (201, ""));
    }
}

#[actix_rt::test]
async fn a_target_or_a_header_that_is_too_large_is_rejected() {
    let app = TestApp::start_idle().await;
    let long = app.get(&format!("/api/v1/applications?cursor={}", "x".repeat(8200))).await;
    assert_eq!((long.status.as_u16(), &long.json["code"]), (414, &json!("uri_too_long")));
    let large = "x".repeat(20_000);
    let fields = [("X-One", large.as_str()), ("X-Two", large.as_str())];
    let refused = app.send(Method::GET, "/api/v1/countries", &fields, "").await;
    assert_eq!((refused.status.as_u16(), &refused.json["code"]), (431, &json!("header_too_large")));
}

/// Opens a connection and sends only `bytes`.
async fn silent_after(app: &TestApp, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the server closes the connection. Returns the response.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut received = Vec::new();
    let reading = async { while stream.read_buf(&mut received).await.is_ok_and(|length| length > 0) {} };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server to close the connection");
    String::from_utf8_lossy(&received).into_owned()
}

#[actix_rt::test]
async fn a_client_that_sends_a_request_head_too_slowly_is_disconnected() {
    let times = [("AVAL__SERVER__REQUEST_HEAD_TIMEOUT_MS", "500"), ("AVAL__SERVER__KEEP_ALIVE_MS", "1500")];
    let app = TestApp::start(&times).await;
    let first = silent_after(&app, b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    assert!(until_closed(first).await.starts_with("HTTP/1.1 408"));

    let head = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\nGET /health/live HTTP/1.1\r\nX-Slow: ";
    let mut later = silent_after(&app, head).await;
    tokio::time::timeout(PATIENCE, trickle(&mut later)).await.expect("the server to close the connection");
    let closed = &app.engine().resources.metrics.http_connections_refused_total;
    assert_eq!(closed.with_label_values(&["no_request"]).get(), 1);
}

#[actix_rt::test]
async fn the_keep_alive_timeout_does_not_close_an_open_websocket() {
    let app = TestApp::start(&[("AVAL__SERVER__KEEP_ALIVE_MS", "200")]).await;
    let mut socket = app.websocket().await;
    let idle = silent_after(&app, b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until_closed(idle).await;
    socket.send(&json!({"action": "ping"})).await;
    assert_eq!(socket.json().await["type"], "pong");
}

#[actix_rt::test]
async fn the_number_of_connections_per_address_is_limited() {
    let app = TestApp::start(&[("AVAL__SERVER__MAX_CONNECTIONS_PER_ADDRESS", "3")]).await;
    let request = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = silent_after(&app, request).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        open.push(stream);
    }
    let refused = TcpStream::connect(app.address()).await.unwrap();
    assert_eq!(until_closed(refused).await, "");
    open.pop();
    eventually("a connection to be accepted again", async || {
        let mut stream = silent_after(&app, request).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.ok().map(drop)
    })
    .await;
}

#[actix_rt::test]
async fn connections_of_a_trusted_proxy_are_not_limited() {
    let app = TestApp::start(&[("AVAL__SERVER__MAX_CONNECTIONS_PER_ADDRESS", "1"), TRUST_LOOPBACK]).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut stream = silent_after(&app, b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        open.push(stream);
    }
    assert_eq!(open.len(), 5);
}

/// Sends `bytes` on one connection. Returns all responses up to the end of the connection.
async fn all_responses(app: &TestApp, bytes: &[u8]) -> String {
    until_closed(silent_after(app, bytes).await).await
}

#[actix_rt::test]
async fn requests_without_a_route_count_towards_the_limit_of_their_address() {
    let tight = [
        ON,
        ("AVAL__LIMITS__STANDARD__ADDRESS__BURST", "6"),
        ("AVAL__LIMITS__STANDARD__ADDRESS__PER_MINUTE", "1"),
    ];
    let app = TestApp::start(&tight).await;
    let client = app.anonymous();
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::PUT, "/api/v1/applications", 405),
        (Method::OPTIONS, "/api/v1/applications", 204),
        (Method::GET, "/api/v1/applications/", 404),
        (Method::DELETE, "/api/v1/auth/login", 405),
        (Method::OPTIONS, "/api/v1/countries", 204),
        (Method::OPTIONS, "/api/v1/countries", 429),
        (Method::GET, "/nowhere", 429),
        (Method::PUT, "/api/v1/applications", 429),
        (Method::GET, "/api/v1/countries", 429),
    ] {
        let answer = client.send(method.clone(), path, &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
    }
    let unmatched = r#"rate_limited_total{route="unmatched"}"#;
    let page = app.engine().resources.metrics.render().unwrap();
    assert!(page.contains(&format!("{unmatched} 1")), "{page}");
}

#[actix_rt::test]
async fn a_connection_that_keeps_sending_limited_requests_is_closed_and_its_log_lines_are_limited() {
    let app = TestApp::start_idle().await;
    let flood = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    for _ in 0..8 {
        let answers = all_responses(&app, flood.as_bytes()).await;
        assert!(answers.matches("HTTP/1.1 404").count() <= 100, "{}", answers.len());
    }
    let metrics = &app.engine().resources.metrics;
    assert_eq!(metrics.http_connections_refused_total.with_label_values(&["flood"]).get(), 8);
    assert!(metrics.http_log_lines_omitted_total.get() > 0);
}

#[actix_rt::test]
async fn pipelined_requests_are_interleaved_with_those_of_other_connections() {
    const PIPELINED: u64 = 2_000;
    let app = TestApp::start(&[("AVAL__SERVER__WORKERS", "1")]).await;
    let request = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut other = silent_after(&app, request.as_bytes()).await;
    let mut answer = [0; 12];
    other.read_exact(&mut answer).await.unwrap();
    let requests = &app.engine().resources.metrics.http_requests_total;
    let answered = || requests.with_label_values(&["GET", "/health/live", "200"]).get();
    let mut pipelining = silent_after(&app, request.repeat(2_000).as_bytes()).await;
    pipelining.read_exact(&mut answer).await.unwrap();
    assert!(answered() < PIPELINED, "the first response came after all requests were processed");
    other.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(until_closed(other).await.contains("HTTP/1.1 404"));
    assert!(answered() < PIPELINED, "the other connection waited for all pipelined requests");
    eventually("all requests to be answered", async || (answered() > PIPELINED).then_some(())).await;
}

#[actix_rt::test]
async fn a_full_server_answers_probes_and_rejects_other_requests() {
    let app = TestApp::start(&[("AVAL__SERVER__MAX_CONNECTIONS", "2")]).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = silent_after(&app, b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        open.push(stream);
    }
    // More silent connections than the server keeps in reserve for probes.
    for _ in 0..80 {
        open.push(TcpStream::connect(app.address()).await.unwrap());
    }
    let refused = all_responses(&app, b"GET /api/v1/countries HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\"code\":\"overloaded\""), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    for path in ["/health/live", "/health/ready", "/api/v1/health"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let probed = all_responses(&app, request.as_bytes()).await;
        assert!(probed.starts_with("HTTP/1.1 200"), "{path}: {probed}");
    }
    let refusals = &app.engine().resources.metrics.http_connections_refused_total;
    assert!(refusals.with_label_values(&["connection_limit"]).get() >= 1);
    assert!(app.log.text().await.contains("connection refused"));
}

#[actix_rt::test]
async fn an_api_key_has_its_own_limits_independent_of_its_address() {
    let app = TestApp::start(&[ON, ("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "0")]).await;
    let make = async |name: &str, limits: serde_json::Value| {
        let scopes = ["applications:read", "applications:write"];
        let body = json!({"name": name, "role": "user", "scopes": scopes, "limits": limits});
        app.post("/api/v1/api-keys", &body).await.expect(201)
    };
    let default_key = make("default", json!(null)).await;
    let default_key = app.with_token(default_key["key"].as_str().unwrap()).clone();
    for _ in 0..15 {
        let created = default_key.post("/api/v1/applications", &spanish()).await;
        let policies = r#""standard-address";q=300;w=15, "create-account";q=600;w=60"#;
        assert_eq!((created.status.as_u16(), created.header("ratelimit-policy")), (201, policies));
    }
    let made = make("small", json!({"applications_per_minute": 2, "requests_per_minute": 3})).await;
    assert_eq!(made["limits"], json!({"applications_per_minute": 2, "requests_per_minute": 3}));
    let small = app.with_key(made["key"].as_str().unwrap());
    for status in [201, 201, 429] {
        assert_eq!(small.post("/api/v1/applications", &spanish()).await.status, status);
    }
    for status in [200, 200, 200, 429] {
        assert_eq!(small.get("/api/v1/countries").await.status, status);
    }
    assert_eq!(
        default_key.post("/api/v1/applications", &spanish()).await.status,
        201,
        "another key must have its own limit"
    );
    let refused = app.with_key("aval_0_0").post("/api/v1/applications", &spanish()).await;
    assert_eq!(refused.status, 401, "an invalid key must create nothing");
}
