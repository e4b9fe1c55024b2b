//! Who is let in on a WebSocket, and for how long.

use std::time::Duration;

use actix_web::http::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::user_path;
use crate::support::accounts::{ADMIN, OTHER, USER};
use crate::support::app::{Heard, TestApp, TestSocket};
use crate::support::builders::spanish;
use crate::support::eventually;

const TICKETS: &str = "/api/v1/ws/tickets";

async fn close_code(socket: &mut TestSocket) -> u16 {
    loop {
        match socket.hear().await {
            Heard::Closed(code) => return code.map_or(0, u16::from),
            Heard::Json(_) => {}
        }
    }
}

async fn token(app: &TestApp, username: &str, ttl: Duration) -> String {
    app.engine().accounts.operator_token(username, ttl).await.unwrap().expose_secret().to_owned()
}

const HOUR: Duration = Duration::from_secs(3600);

#[actix_rt::test]
async fn nothing_is_answered_before_the_client_has_said_who_it_is() {
    let app = TestApp::start_idle().await;
    let mut socket = app.silent_websocket("").await;
    socket.send(&json!({"action": "subscribe", "channel": "applications"})).await;
    assert_eq!(socket.json().await["code"], "unauthenticated");
    app.submit(&spanish()).await;
    let answer = socket.authenticate(&app.token).await;
    assert_eq!((&answer["account"], &answer["role"]), (&json!(ADMIN), &json!("admin")));
    assert_eq!(socket.authenticate(&app.token).await["code"], "already_authenticated");
    socket.subscribe(&json!({"channel": "applications"})).await;
}

#[actix_rt::test]
async fn a_client_that_says_nothing_or_proves_nothing_is_closed_with_4401() {
    let app = TestApp::start(&[("AVAL__WEBSOCKET__AUTH_TIMEOUT_MS", "300")]).await;
    let mut silent = app.silent_websocket("").await;
    assert_eq!(close_code(&mut silent).await, 4401);
    let mut liar = app.silent_websocket("").await;
    liar.send(&json!({"action": "auth", "token": "a.b.c"})).await;
    assert_eq!(close_code(&mut liar).await, 4401);
    let operations = json!({"name": "metrics", "role": "admin", "scopes": ["operations:read"]});
    let key = app.post("/api/v1/api-keys", &operations).await.expect(201)["key"].clone();
    let mut out_of_scope = app.silent_websocket("").await;
    out_of_scope.send(&json!({"action": "auth", "api_key": key})).await;
    assert_eq!(close_code(&mut out_of_scope).await, 4401);
}

#[actix_rt::test]
async fn a_ticket_opens_one_websocket_and_no_second() {
    let app = TestApp::start_idle().await;
    let user = app.acting_as(USER).await;
    let made = user.send(Method::POST, TICKETS, &[], "").await.expect(201);
    let query = format!("?ticket={}", made["ticket"].as_str().unwrap());
    // Whatever opens nothing uses nothing up.
    app.anonymous().get(&format!("/api/v1/ws{query}")).await.expect(400);
    let mut socket = app.silent_websocket(&query).await;
    assert_eq!(socket.json().await["account"], USER);
    socket.subscribe(&json!({"channel": "applications"})).await;

    let refused = async |query: &str| {
        let opened = app.client.ws(app.url(&format!("/api/v1/ws{query}"))).connect().await;
        match opened.err().unwrap() {
            awc::error::WsClientError::InvalidResponseStatus(status) => status.as_u16(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&query).await, 401);
    assert_eq!(refused("?ticket=x").await, 401);
    let late = user.send(Method::POST, TICKETS, &[], "").await.expect(201);
    app.execute("UPDATE ws_tickets SET expires_at = now() - interval '1 second'").await;
    assert_eq!(refused(&format!("?ticket={}", late["ticket"].as_str().unwrap())).await, 401);
    assert!(!app.log.text().await.contains(made["ticket"].as_str().unwrap()));
}

#[actix_rt::test]
async fn a_websocket_ends_with_the_credential_that_opened_it() {
    let app = TestApp::start(&[("AVAL__WEBSOCKET__RECHECK_INTERVAL_MS", "50")]).await;
    let mut short = app.silent_websocket("").await;
    short.authenticate(&token(&app, USER, Duration::from_secs(1)).await).await;
    assert_eq!(close_code(&mut short).await, 4401);

    let mut disabled = app.silent_websocket("").await;
    disabled.authenticate(&token(&app, USER, HOUR).await).await;
    let mut another = app.silent_websocket("").await;
    another.authenticate(&token(&app, OTHER, HOUR).await).await;
    app.patch(&user_path(&app, USER).await, &json!({"disabled": true})).await.expect(200);
    assert_eq!(close_code(&mut disabled).await, 4401);

    app.patch(&user_path(&app, OTHER).await, &json!({"role": "analyst"})).await.expect(200);
    assert_eq!(close_code(&mut another).await, 4401);

    let ticket = app.send(Method::POST, TICKETS, &[], "").await.expect(201);
    let mut by_ticket =
        app.silent_websocket(&format!("?ticket={}", ticket["ticket"].as_str().unwrap())).await;
    assert_eq!(by_ticket.json().await["type"], "authenticated");
    app.post("/api/v1/auth/logout", &json!({})).await.expect(204);
    assert_eq!(close_code(&mut by_ticket).await, 4401);
}

#[actix_rt::test]
async fn a_user_hears_of_its_own_applications_alone() {
    let app = TestApp::start(&[]).await;
    let user = app.acting_as(USER).await;
    let mut socket = app.silent_websocket("").await;
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
async fn too_many_sockets_of_an_account_and_too_many_messages_are_closed_with_4429() {
    let app = TestApp::start(&[
        ("AVAL__WEBSOCKET__MAX_SOCKETS_PER_ACCOUNT", "2"),
        ("AVAL__WEBSOCKET__MAX_MESSAGES_PER_SECOND", "5"),
    ])
    .await;
    let mut one = app.websocket().await;
    let two = app.websocket().await;
    let mut three = app.silent_websocket("").await;
    three.send(&json!({"action": "auth", "token": app.token})).await;
    assert_eq!(close_code(&mut three).await, 4429);
    drop(two);
    eventually("the place to be free", async || {
        let mut again = app.silent_websocket("").await;
        again.send(&json!({"action": "auth", "token": app.token})).await;
        matches!(again.hear().await, Heard::Json(answer) if answer["type"] == "authenticated").then_some(())
    })
    .await;
    for _ in 0..30 {
        one.send(&json!({"action": "ping"})).await;
    }
    assert_eq!(close_code(&mut one).await, 4429);
}
