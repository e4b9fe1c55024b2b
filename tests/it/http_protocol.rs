//! The HTTP protocol: unusual requests, and the framing of responses.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::app::TestApp;
use crate::support::builders::spanish;

/// Sends `bytes` on one connection. Returns everything received until the server closes it.
async fn exchange(app: &TestApp, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut bytes_received = Vec::new();
    let reading =
        async { while stream.read_buf(&mut bytes_received).await.is_ok_and(|length| length > 0) {} };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server to close the connection");
    bytes_received
}

async fn text(app: &TestApp, request: &str) -> String {
    String::from_utf8(exchange(app, request.as_bytes()).await).unwrap()
}

/// A request after which the server closes the connection.
const LAST: &str = "GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[actix_rt::test]
async fn an_unknown_upgrade_is_ignored_and_the_connection_stays_open() {
    let app = TestApp::start_idle().await;
    let login = r#"{"username": "x", "password": "y"}"#;
    let posted = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{login}", login.len());
    let h2c_upgrade =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n";
    for (line, fields, rest, status) in [
        ("GET /health/live", h2c_upgrade, "\r\n", "200"),
        ("POST /api/v1/auth/login", h2c_upgrade, posted.as_str(), "401"),
        ("POST /api/v1/auth/login", "Connection: upgrade\r\nUpgrade: websocket\r\n", &posted, "401"),
        ("GET /health/live", "Connection: upgrade\r\nUpgrade: websocket\r\n", "\r\n", "200"),
        ("GET /health/live", "Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.0, foo\r\n", "\r\n", "200"),
        ("GET /health/live", "Connection: upgrade\r\n", "\r\n", "200"),
        ("GET /health/live", "Upgrade: h2c\r\n", "\r\n", "200"),
        ("GET /api/v1/ws", h2c_upgrade, "\r\n", "400"),
    ] {
        let answers = text(&app, &format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}{rest}{LAST}")).await;
        assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{line} {fields} {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{line} {fields} {answers}");
        assert!(!answers.contains("\r\nupgrade:") && !answers.contains("connection: upgrade"), "{answers}");
    }
}

#[actix_rt::test]
async fn a_body_is_only_requested_when_it_is_read() {
    let app = TestApp::start_idle().await;
    let body = spanish().to_string();
    let head = |fields: &str, length: usize| {
        format!(
            "POST /api/v1/applications HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{fields}\r\n"
        )
    };
    let bearer = format!("Authorization: Bearer {}\r\n", app.token);
    let expects = "Expect: 100-continue\r\n";
    for (fields, length, status) in [
        (expects.to_owned(), body.len(), "401"),
        (format!("{bearer}{expects}"), 10_000_000, "413"),
        (format!("{bearer}Expect: 200-ok\r\n"), body.len(), "417"),
        (format!("{bearer}Expect: 100-continue, x\r\n"), body.len(), "417"),
    ] {
        let refused = text(&app, &head(&fields, length)).await;
        assert!(refused.starts_with(&format!("HTTP/1.1 {status}")), "{fields} {refused}");
    }

    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(head(&format!("{bearer}{expects}"), body.len()).as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[actix_rt::test]
async fn a_response_to_http_1_0_is_not_chunked() {
    let app = TestApp::start_idle().await;
    app.submit(&spanish()).await;
    let export = |version: &str| {
        format!(
            "GET /api/v1/applications/export.csv HTTP/{version}\r\nHost: a\r\nConnection: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            if version == "1.0" { "keep-alive" } else { "close" },
            app.token
        )
    };
    let chunked = text(&app, &export("1.1")).await;
    assert!(chunked.contains("transfer-encoding: chunked"), "{chunked}");
    let old = text(&app, &export("1.0")).await;
    let (head, body) = old.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200") && !head.contains("transfer-encoding"), "{old}");
    assert!(body.lines().count() >= 2 && !body.ends_with("0\r\n\r\n"), "{body}");
}

#[actix_rt::test]
async fn a_long_response_is_compressed_if_accepted() {
    let app = TestApp::start_idle().await;
    let document = async |accepted: &str| {
        let request = format!("GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{accepted}\r\n");
        let answer = exchange(&app, request.as_bytes()).await;
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        (String::from_utf8(answer[..split].to_vec()).unwrap(), answer[split + 4..].to_vec())
    };
    for accepted in
        ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: identity\r\n"]
    {
        let (head, body) = document(accepted).await;
        assert!(
            !head.contains("content-encoding") && head.contains("vary: accept-encoding"),
            "{accepted} {head}"
        );
        assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{accepted}");
    }
    let (head, chunks) = document("Accept-Encoding: br, gzip;q=0.5\r\n").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let (mut gzip_bytes, mut rest) = (Vec::new(), chunks.as_slice());
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        gzip_bytes.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
    let mut document = String::new();
    GzDecoder::new(gzip_bytes.as_slice()).read_to_string(&mut document).unwrap();
    assert!(gzip_bytes.len() < document.len() / 3 && serde_json::from_str::<Value>(&document).is_ok());
}

#[actix_rt::test]
async fn responses_with_weak_tags_are_compressed_and_those_with_strong_tags_are_not() {
    let app = TestApp::start_idle().await;
    let made = app.post("/api/v1/applications", &spanish()).await.expect(201);
    let one = format!("/api/v1/applications/{}", made["id"].as_str().unwrap());
    for (path, tag, compressed) in [("/api/v1/stats", "etag: w/", true), (one.as_str(), "etag: \"", false)] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer {}\r\n\r\n",
            app.token
        );
        let answer = exchange(&app, request.as_bytes()).await;
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..split].to_vec()).unwrap().to_lowercase();
        assert!(head.contains(tag), "{head}");
        assert_eq!(head.contains("content-encoding: gzip"), compressed, "{head}");
    }
}

#[actix_rt::test]
async fn the_404_of_a_path_with_a_trailing_slash_mentions_the_slash() {
    let app = TestApp::start_idle().await;
    for path in ["/api/v1/applications/", "/health/", "/nowhere/"] {
        let problem = app.get(path).await.expect(404);
        assert!(problem["detail"].as_str().unwrap().contains("trailing slash"), "{path}: {problem}");
    }
}
