//! Browser security: security headers and cross-origin requests.

use actix_web::http::Method;

use crate::support::app::TestApp;

const CONSOLE: &str = "https://console.example";

#[actix_rt::test]
async fn every_response_has_the_security_headers_and_none_names_the_server() {
    let app = TestApp::start_idle().await;
    for path in
        ["/api/v1/applications", "/api/v1/applications/x", "/nowhere", "/health", "/metrics", "/docs/"]
    {
        let answer = app.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("server", ""),
            ("x-powered-by", ""),
            ("strict-transport-security", ""),
        ] {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        let caching = if path == "/docs/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), caching, "{path}");
    }
}

#[actix_rt::test]
async fn behind_a_tls_proxy_responses_require_browsers_to_keep_using_tls() {
    let app = TestApp::start(&[("AVAL__SERVER__PLAINTEXT_BEHIND_PROXY", "true")]).await;
    assert_eq!(app.get("/health").await.header("strict-transport-security"), "max-age=31536000");
}

#[actix_rt::test]
async fn the_documentation_contains_no_script_that_its_policy_blocks() {
    let app = TestApp::start_idle().await;
    let page = app.get("/docs/").await.text();
    let inline =
        page.split("<script").skip(1).filter(|rest| !rest.split('>').next().unwrap().contains("src="));
    assert_eq!(inline.count(), 0, "{page}");
    assert!(page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "{page}");
}

#[actix_rt::test]
async fn pages_of_other_origins_are_blocked_unless_allowed() {
    let app = TestApp::start_idle().await;
    let preflight = [
        ("Origin", CONSOLE),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let refused = app.send(Method::OPTIONS, "/api/v1/applications", &preflight, "").await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    let read = app.send(Method::GET, "/api/v1/countries", &[("Origin", CONSOLE)], "").await;
    assert_eq!(read.header("access-control-allow-origin"), "");

    let app = TestApp::start(&[("AVAL__CORS__ALLOWED_ORIGINS", CONSOLE)]).await;
    let allowed = app.send(Method::OPTIONS, "/api/v1/applications", &preflight, "").await;
    assert_eq!((allowed.status.as_u16(), allowed.header("access-control-allow-origin")), (200, CONSOLE));
    assert_eq!(allowed.header("access-control-max-age"), "3600");
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
    let other = [("Origin", "https://evil.example"), preflight[1]];
    let refused = app.send(Method::OPTIONS, "/api/v1/applications", &other, "").await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    // The page can read error responses too.
    for path in ["/api/v1/countries", "/api/v1/applications/x"] {
        let read = app.send(Method::GET, path, &[("Origin", CONSOLE)], "").await;
        assert_eq!(read.header("access-control-allow-origin"), CONSOLE, "{path}");
        for exposed in
            ["etag", "location", "x-request-id", "ratelimit", "retry-after", "idempotency-replayed"]
        {
            assert!(read.header("access-control-expose-headers").contains(exposed), "{exposed}");
        }
    }
}

#[actix_rt::test]
async fn only_allowed_pages_may_open_a_websocket() {
    let app = TestApp::start(&[("AVAL__CORS__ALLOWED_ORIGINS", CONSOLE)]).await;
    let handshake = |origin: &str| {
        format!(
            "GET /api/v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
        )
    };
    let refused = app.send_raw(handshake("https://evil.example").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert!(app.opens_websocket(&[("Origin", CONSOLE)]).await);
}
