//! The web console: its document, its files and its security headers. The browser tests are in `frontend/tests`.

use actix_web::http::Method;

use crate::support::app::{Answer, TestApp};

const PAGES: [&str; 4] =
    ["/", "/console", "/console/applications", "/console/applications?status=APPROVED&x=%20"];

/// The nonce in the content security policy of a response.
fn nonce(answer: &Answer) -> String {
    let policy = answer.header("content-security-policy");
    let (_, rest) = policy.split_once("script-src 'self' 'nonce-").unwrap_or_else(|| panic!("{policy}"));
    rest.split('\'').next().unwrap().to_owned()
}

#[actix_rt::test]
async fn every_page_is_a_document_with_a_policy_and_a_nonce_of_its_own() {
    let app = TestApp::start_idle().await;
    let mut nonces = Vec::new();
    for path in PAGES {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
        let policy = answer.header("content-security-policy").to_owned();
        for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "connect-src 'self'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        let html = answer.text();
        assert!(!html.contains("__AVAL_NONCE__"), "{path}: {html}");
        nonces.push(nonce(&answer));
    }
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), PAGES.len(), "{nonces:?}");
}

#[actix_rt::test]
async fn a_client_that_has_the_current_document_gets_a_304_without_a_policy() {
    let app = TestApp::start_idle().await;
    let first = app.get("/").await;
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with("W/\""), "the nonce differs between responses: {etag}");
    let second = app.send(Method::GET, "/console", &[("If-None-Match", &etag)], "").await;
    assert_eq!(second.status, 304);
    assert_eq!(second.header("etag"), etag);
    assert_eq!(second.header("content-security-policy"), "", "a new policy would not admit the old nonce");
    let third = app.send(Method::GET, "/", &[("If-None-Match", "W/\"other\"")], "").await;
    assert_eq!(third.status, 200);
}

#[actix_rt::test]
async fn files_are_compressed_and_immutable_and_other_names_are_not_found() {
    let app = TestApp::start_idle().await;
    for name in ["nothing.js", "..%2Findex.html", ".gitkeep"] {
        assert_eq!(app.get(&format!("/assets/{name}")).await.expect(404)["code"], "not_found", "{name}");
    }
    let html = app.get("/").await.text();
    // If the console was not built, the document names no file and says how to build it.
    let Some((_, rest)) = html.split_once("src=\"/assets/") else {
        assert!(html.contains("scripts/console.sh build"), "{html}");
        return;
    };
    let path = format!("/assets/{}", rest.split('"').next().unwrap());
    let mut sizes = Vec::new();
    for (accepted, encoding) in [("br, gzip", "br"), ("gzip", "gzip"), ("identity", "")] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {accepted}\r\nConnection: close\r\n\r\n"
        );
        let answer = app.send_raw(request.as_bytes()).await;
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert!(head.contains("cache-control: public, max-age=31536000, immutable"), "{head}");
        assert!(head.contains("vary: accept-encoding"), "{head}");
        assert_eq!(head.contains("content-encoding: "), !encoding.is_empty(), "{head}");
        assert!(head.contains(&format!("content-encoding: {encoding}")) || encoding.is_empty(), "{head}");
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        sizes.push(length.parse::<usize>().unwrap());
    }
    assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
    assert_eq!(app.get(&format!("{path}.br")).await.status, 404);
}

#[actix_rt::test]
async fn pages_are_only_below_the_paths_of_the_console() {
    let app = TestApp::start_idle().await;
    for path in ["/applications", "/consoles", "/index.html", "/api/v1/console"] {
        assert_eq!(app.get(path).await.expect(404)["code"], "not_found", "{path}");
    }
}
