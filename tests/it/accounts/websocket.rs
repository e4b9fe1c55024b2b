//! Authentication of WebSockets.

use std::time::{Duration, Instant};

use actix_web::http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::user_path;
use crate::support::accounts::{ADMIN, OTHER, USER};
use crate::support::app::{Received, TestApp, TestSocket};
use crate::support::builders::spanish;
use crate::support::{PATIENCE, eventually};

const TICKETS: &str = "/api/v1/ws/tickets";

pub(super) async fn close_code(socket: &mut TestSocket) -> u16 {
    loop {
        match socket.receive().await {
            Received::Closed(code) => return code.map_or(0, u16::from),
            Received::Json(_) => {}
        }
    }
}

async fn token(app: &TestApp, username: &str, ttl: Duration) -> String {
    app.engine().accounts.operator_token(username, ttl).await.unwrap().expose_secret().to_owned()
}

const HOUR: Duration = Duration::from_secs(3600);

#[actix_rt::test]
async fn messages_before_authentication_are_rejected() {
    let app = TestApp::start_idle().await;
    let mut socket = app.unauthenticated_websocket("").await;
    socket.send(&json!({"action": "subscribe", "channel": "applications"})).await;
    assert_eq!(socket.json().await["code"], "unauthenticated");
    app.submit(&spanish()).await;
    let answer = socket.authenticate(&app.token).await;
    assert_eq!((&answer["account"], &answer["role"]), (&json!(ADMIN), &json!("admin")));
    socket.subscribe(&json!({"channel": "applications"})).await;
}

#[actix_rt::test]
async fn a_client_without_a_valid_credential_gets_the_reason_and_is_closed_with_4401() {
    let app = TestApp::start(&[("AVAL__WEBSOCKET__AUTH_TIMEOUT_MS", "300")]).await;
    let mut silent = app.unauthenticated_websocket("").await;
    let refused = silent.json().await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("authentication_timeout")));
    assert_eq!(close_code(&mut silent).await, 4401);
    let mut invalid = app.unauthenticated_websocket("").await;
    assert_eq!(invalid.authenticate("a.b.c").await["code"], "invalid_credential");
    assert_eq!(close_code(&mut invalid).await, 4401);
    let operations = json!({"name": "metrics", "role": "admin", "scopes": ["operations:read"]});
    let key = app.post("/api/v1/api-keys", &operations).await.expect(201)["key"].clone();
    let mut out_of_scope = app.unauthenticated_websocket("").await;
    out_of_scope.send(&json!({"action": "auth", "api_key": key})).await;
    assert_eq!(out_of_scope.json().await["code"], "insufficient_scope");
    assert_eq!(close_code(&mut out_of_scope).await, 4401);
    let key = key.as_str().unwrap();
    assert_eq!(handshake_status(&app, "", &[("X-API-Key", key)]).await, 403);
}

/// The status of a rejected handshake.
async fn handshake_status(app: &TestApp, query: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = app.client.ws(app.url(&format!("/api/v1/ws{query}")));
    for (name, value) in headers {
        request = request.set_header(*name, *value);
    }
    match request.connect().await.err().unwrap() {
        awc::error::WsClientError::InvalidResponseStatus(status) => status.as_u16(),
        other => panic!("{other:?}"),
    }
}

#[actix_rt::test]
async fn header_fields_of_the_handshake_authenticate_as_on_any_request() {
    let app = TestApp::start_idle().await;
    let bearer = format!("Bearer {}", token(&app, USER, HOUR).await);
    let request = app.client.ws(app.url("/api/v1/ws")).set_header("Authorization", bearer.as_str());
    let mut socket = TestSocket::of(request).await.unwrap();
    assert_eq!(socket.json().await["account"], USER);
    socket.subscribe(&json!({"channel": "applications"})).await;
    assert_eq!(handshake_status(&app, "", &[("Authorization", "Bearer a.b.c")]).await, 401);
    assert_eq!(handshake_status(&app, "?ticket=x", &[("Authorization", &bearer)]).await, 401);
}

#[actix_rt::test]
async fn a_new_token_extends_a_connection_unless_it_belongs_to_another_account() {
    let app = TestApp::start_idle().await;
    let mut socket = app.unauthenticated_websocket("").await;
    let first = socket.authenticate(&token(&app, USER, Duration::from_secs(3)).await).await;
    let longer = socket.authenticate(&token(&app, USER, HOUR).await).await;
    assert_eq!((&longer["type"], &longer["account"]), (&json!("authenticated"), &json!(USER)));
    assert!(first["valid_until"].as_str().unwrap() < longer["valid_until"].as_str().unwrap());
    assert_eq!(socket.authenticate(&app.token).await["code"], "another_account");
    assert_eq!(socket.authenticate("a.b.c").await["code"], "invalid_credential");
    let ends = chrono::DateTime::parse_from_rfc3339(first["valid_until"].as_str().unwrap()).unwrap();
    eventually("the first token to end", async || {
        (chrono::Utc::now() > ends + Duration::from_millis(200)).then_some(())
    })
    .await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    assert_eq!(socket.authenticate("a.b.c").await["code"], "invalid_credential");
    assert_eq!(socket.authenticate("a.b.c").await["code"], "invalid_credential");
    assert_eq!(close_code(&mut socket).await, 4401, "the third failure in a row must close it");
}

#[actix_rt::test]
async fn a_subscription_to_an_invisible_application_is_rejected() {
    let app = TestApp::start_idle().await;
    let foreign = app.acting_as(OTHER).await.submit(&spanish()).await;
    let own = app.acting_as(USER).await.submit(&spanish()).await;
    let mut socket = app.unauthenticated_websocket("").await;
    socket.authenticate(&token(&app, USER, HOUR).await).await;
    for id in [foreign.as_str(), "01890a5d-ac96-774b-bcce-b302099a8057"] {
        socket.send(&json!({"action": "subscribe", "application_id": id})).await;
        let refused = socket.json().await;
        let actual = (&refused["type"], &refused["code"], &refused["application_id"]);
        assert_eq!(actual, (&json!("error"), &json!("unknown_application"), &json!(id)));
    }
    socket.subscribe(&json!({"application_id": own})).await;
    let mut staff = app.websocket().await;
    staff.subscribe(&json!({"application_id": foreign})).await;
}

#[actix_rt::test]
async fn a_credential_rejected_on_a_websocket_counts_towards_the_limit_of_the_address() {
    let app = TestApp::start(&[
        ("AVAL__LIMITS__ENABLED", "true"),
        ("AVAL__LIMITS__STANDARD__ADDRESS__PER_MINUTE", "1"),
        ("AVAL__LIMITS__STANDARD__ADDRESS__BURST", "25"),
    ])
    .await;
    for _ in 0..2 {
        let mut invalid = app.unauthenticated_websocket("").await;
        assert_eq!(invalid.authenticate("a.b.c").await["code"], "invalid_credential");
    }
    // The two rejected credentials use up 24 of the 25 requests of the limit. They are charged concurrently with the
    // response.
    let mut admitted = 0;
    eventually("the address to be limited", async || {
        let is_refused = app.get("/api/v1/countries").await.status.as_u16() == 429;
        admitted += u32::from(!is_refused);
        is_refused.then_some(())
    })
    .await;
    assert!(admitted < 10, "{admitted} more requests were admitted");
    assert_eq!(handshake_status(&app, "", &[]).await, 429);
}

/// The handshake of a WebSocket with these fields in addition to the fixed ones.
fn handshake(fields: &str) -> String {
    format!(
        "GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n"
    )
}

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[actix_rt::test]
async fn a_handshake_with_another_version_or_a_bad_key_is_rejected() {
    let app = TestApp::start(&[("AVAL__WEBSOCKET__AUTH_TIMEOUT_MS", "100")]).await;
    for (fields, status) in [
        (format!("Sec-WebSocket-Version: 13\r\n{KEY}"), "101"),
        (format!("Sec-WebSocket-Version: 8\r\n{KEY}"), "426"),
        (format!("Sec-WebSocket-Version: 14\r\n{KEY}"), "426"),
        (format!("Sec-WebSocket-Version: 13, 8\r\n{KEY}"), "426"),
        (format!("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n{KEY}"), "400"),
        (KEY.to_owned(), "400"),
        ("Sec-WebSocket-Version: 13\r\n".to_owned(), "400"),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n".to_owned(), "400"),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n".to_owned(), "400"),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ????????????????????????\r\n".to_owned(), "400"),
        (format!("Sec-WebSocket-Version: 13\r\nOrigin: https://localhost:443\r\n{KEY}"), "101"),
        (format!("Sec-WebSocket-Version: 13\r\nOrigin: https://localhost:444\r\n{KEY}"), "403"),
    ] {
        let answer = app.send_raw(handshake(&fields).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{fields} {answer}");
        assert_eq!(answer.contains("sec-websocket-version: 13\r\n"), status == "426", "{answer}");
    }
}

#[actix_rt::test]
async fn the_server_closes_tcp_after_both_close_frames() {
    let app = TestApp::start_idle().await;
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let fields = format!("Sec-WebSocket-Version: 13\r\n{KEY}");
    stream.write_all(handshake(&fields).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0);
    }
    let started = Instant::now();
    // A close frame with 1000, masked with zeroes.
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, [0x88, 2, 0x03, 0xE8]);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[actix_rt::test]
async fn a_ticket_opens_only_one_websocket() {
    let app = TestApp::start_idle().await;
    let user = app.acting_as(USER).await;
    let made = user.send(Method::POST, TICKETS, &[], "").await.expect(201);
    let query = format!("?ticket={}", made["ticket"].as_str().unwrap());
    // A failed attempt does not use up a ticket.
    app.anonymous().get(&format!("/api/v1/ws{query}")).await.expect(400);
    let mut socket = app.unauthenticated_websocket(&query).await;
    assert_eq!(socket.json().await["account"], USER);
    socket.subscribe(&json!({"channel": "applications"})).await;

    let refused = async |query: &str| handshake_status(&app, query, &[]).await;
    assert_eq!(refused(&query).await, 401);
    assert_eq!(refused("?ticket=x").await, 401);
    let late = user.send(Method::POST, TICKETS, &[], "").await.expect(201);
    app.execute("UPDATE ws_tickets SET expires_at = now() - interval '1 second'").await;
    assert_eq!(refused(&format!("?ticket={}", late["ticket"].as_str().unwrap())).await, 401);
    assert!(!app.log.text().await.contains(made["ticket"].as_str().unwrap()));
}

#[actix_rt::test]
async fn a_websocket_ends_with_its_credential() {
    let app = TestApp::start(&[("AVAL__WEBSOCKET__RECHECK_INTERVAL_MS", "50")]).await;
    let mut short = app.unauthenticated_websocket("").await;
    short.authenticate(&token(&app, USER, Duration::from_secs(1)).await).await;
    assert_eq!(close_code(&mut short).await, 4401);

    let mut disabled = app.unauthenticated_websocket("").await;
    disabled.authenticate(&token(&app, USER, HOUR).await).await;
    let mut another = app.unauthenticated_websocket("").await;
    another.authenticate(&token(&app, OTHER, HOUR).await).await;
    app.patch(&user_path(&app, USER).await, &json!({"disabled": true})).await.expect(200);
    assert_eq!(close_code(&mut disabled).await, 4401);

    app.patch(&user_path(&app, OTHER).await, &json!({"role": "analyst"})).await.expect(200);
    assert_eq!(close_code(&mut another).await, 4401);

    let ticket = app.send(Method::POST, TICKETS, &[], "").await.expect(201);
    let mut by_ticket =
        app.unauthenticated_websocket(&format!("?ticket={}", ticket["ticket"].as_str().unwrap())).await;
    assert_eq!(by_ticket.json().await["type"], "authenticated");
    app.post("/api/v1/auth/logout", &json!({})).await.expect(204);
    assert_eq!(close_code(&mut by_ticket).await, 4401);
}

#[actix_rt::test]
async fn a_user_gets_updates_of_its_own_applications_only() {
    let app = TestApp::start(&[]).await;
    let user = app.acting_as(USER).await;
    let mut socket = app.unauthenticated_websocket("").await;
    socket.authenticate(&token(&app, USER, HOUR).await).await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    let foreign = app.acting_as(OTHER).await.submit(&spanish()).await;
    let own = user.submit(&spanish()).await;
    loop {
        let update = socket.json().await;
        assert_ne!(update["data"]["id"], foreign.as_str());
        if update["data"]["id"] == own.as_str() && update["data"]["status"] == "APPROVED" {
            break;
        }
    }
}

#[actix_rt::test]
async fn a_users_offsets_do_not_reveal_the_number_of_other_events() {
    let app = TestApp::start(&[]).await;
    let user = app.acting_as(USER).await;
    let topic = json!({"channel": "applications"});
    let connect = async || {
        let mut socket = app.unauthenticated_websocket("").await;
        socket.authenticate(&token(&app, USER, HOUR).await).await;
        socket
    };
    let mut socket = connect().await;
    socket.subscribe(&topic).await;
    let id = user.submit(&spanish()).await;
    let mut updates = Vec::new();
    while updates.last().is_none_or(|update: &Value| update["data"]["status"] != "APPROVED") {
        updates.push(socket.json().await);
    }
    let relay_offsets =
        format!("SELECT string_agg(relay_offset::text, ' ') FROM outbox WHERE subject = '{id}'");
    let relay_offsets = app.sql(&relay_offsets).await;
    let offsets: Vec<i64> = updates.iter().map(|update| update["offset"].as_i64().unwrap()).collect();
    assert!(
        offsets.iter().all(|offset| !relay_offsets.split(' ').any(|relayed| relayed == offset.to_string()))
    );

    let mut again = connect().await;
    let resume = json!({"action": "subscribe", "channel": "applications", "epoch": updates[0]["epoch"],
        "offset": offsets[0]});
    again.send(&resume).await;
    let answer = again.json().await;
    assert_eq!((&answer["recovered"], &answer["offset"]), (&json!(true), &json!(offsets[0])));
    for missed in &updates[1..] {
        assert_eq!(again.json().await, *missed);
    }
    let mut guessing = connect().await;
    guessing.send(&json!({"action": "subscribe", "channel": "applications", "epoch": updates[0]["epoch"], "offset": 1})).await;
    assert_eq!(guessing.json().await["recovered"], false);
}

#[actix_rt::test]
async fn too_many_sockets_or_messages_of_an_account_are_closed_with_4429() {
    let app = TestApp::start(&[
        ("AVAL__WEBSOCKET__MAX_SOCKETS_PER_ACCOUNT", "2"),
        ("AVAL__WEBSOCKET__MAX_MESSAGES_PER_SECOND", "5"),
    ])
    .await;
    let mut one = app.websocket().await;
    let two = app.websocket().await;
    let mut three = app.unauthenticated_websocket("").await;
    three.send(&json!({"action": "auth", "token": app.token})).await;
    assert_eq!(close_code(&mut three).await, 4429);
    drop(two);
    eventually("a socket to be allowed again", async || {
        let mut again = app.unauthenticated_websocket("").await;
        again.send(&json!({"action": "auth", "token": app.token})).await;
        matches!(again.receive().await, Received::Json(answer) if answer["type"] == "authenticated")
            .then_some(())
    })
    .await;
    for _ in 0..30 {
        one.send(&json!({"action": "ping"})).await;
    }
    assert_eq!(close_code(&mut one).await, 4429);
}
