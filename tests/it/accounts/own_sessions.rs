//! Lists of open sessions, and ending them.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::websocket::close_code;
use super::{LOGIN, login, me, pair, refresh, session, user_path};
use crate::support::accounts::{ADMIN, ANALYST, OTHER, PASSWORD, USER};
use crate::support::app::TestApp;
use crate::support::eventually;

const SESSIONS: &str = "/api/v1/auth/me/sessions";
const BROWSER: &str = "/api/v1/auth/browser-session";

/// The sessions that an access token lists.
async fn listed(app: &TestApp, access: &str) -> Vec<Value> {
    let list = app.with_token(access).get(SESSIONS).await.expect(200);
    list["items"].as_array().unwrap().clone()
}

/// The identifier of the session of an access token.
async fn current(app: &TestApp, access: &str) -> String {
    let sessions = listed(app, access).await;
    let current = sessions.iter().find(|session| session["current"] == true).unwrap();
    current["id"].as_str().unwrap().to_owned()
}

/// Begins a session of a browser. Returns the access token and the cookie.
async fn browser_session(app: &TestApp, username: &str) -> (String, String) {
    let origin = format!("http://{}", app.address());
    let headers = [("Content-Type", "application/json"), ("Origin", &origin)];
    let body = json!({"username": username, "password": PASSWORD}).to_string();
    let answer = app.anonymous().send(Method::POST, BROWSER, &headers, body).await;
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    (answer.expect(200)["access_token"].as_str().unwrap().to_owned(), cookie)
}

/// The HTTP status of a renewal of a browser's session.
async fn browser_refresh(app: &TestApp, cookie: &str) -> u16 {
    let origin = format!("http://{}", app.address());
    let headers = [("Origin", origin.as_str()), ("Cookie", cookie)];
    app.anonymous().send(Method::POST, &format!("{BROWSER}/refresh"), &headers, "").await.status.as_u16()
}

#[actix_rt::test]
async fn an_account_lists_its_own_sessions_with_their_latest_clients() {
    let app = TestApp::start_idle().await;
    session(&app, OTHER).await;
    let body = json!({"username": USER, "password": PASSWORD}).to_string();
    let headers = [("Content-Type", "application/json"), ("User-Agent", "Aval test/1.0")];
    let tokens = app.anonymous().send(Method::POST, LOGIN, &headers, body).await.expect(200);
    let (access, _) = pair(&tokens);
    let (_, elsewhere) = session(&app, USER).await;
    let sessions = listed(&app, &access).await;
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    let (newer, own) = (&sessions[0], &sessions[1]);
    assert_eq!((&own["current"], &newer["current"]), (&json!(true), &json!(false)));
    assert_eq!((&own["user_agent"], &own["address"]), (&json!("Aval test/1.0"), &json!("127.0.0.1")));
    assert_eq!(own["created_at"], own["last_used_at"]);
    assert!(own["expires_at"].as_str() > own["created_at"].as_str());
    let stored = app.sql("SELECT string_agg(t::text, ' ') FROM refresh_tokens t").await;
    assert!(!stored.contains("127.0.0.1"), "the address must be sealed");

    // A renewal keeps the session, and shows the client that renewed it.
    let body = json!({"refresh_token": elsewhere}).to_string();
    let headers = [("Content-Type", "application/json"), ("User-Agent", "Other/2")];
    app.anonymous().send(Method::POST, "/api/v1/auth/refresh", &headers, body).await.expect(200);
    let renewed = &listed(&app, &access).await[0];
    assert_eq!((&renewed["id"], &renewed["created_at"]), (&newer["id"], &newer["created_at"]));
    assert_eq!(renewed["user_agent"], "Other/2");
    assert!(renewed["last_used_at"].as_str() > newer["last_used_at"].as_str());

    app.execute("UPDATE refresh_tokens SET expires_at = issued_at + interval '1 microsecond'").await;
    assert_eq!(listed(&app, &access).await, [] as [Value; 0], "an expired session must not be listed");
}

#[actix_rt::test]
async fn ending_one_session_ends_its_refresh_tokens_and_the_others_renew_their_access_tokens() {
    let app = TestApp::start_idle().await;
    let (access, renewal) = session(&app, USER).await;
    let (lost, lost_renewal) = session(&app, USER).await;
    let (foreign, foreign_renewal) = session(&app, OTHER).await;
    let of_other = format!("{SESSIONS}/{}", current(&app, &foreign).await);
    let path = format!("{SESSIONS}/{}", current(&app, &lost).await);
    app.with_token(&access).delete(&of_other).await.expect(404);
    assert_eq!(app.with_token(&access).delete(&path).await.status, 204);
    assert_eq!((me(&app, &lost).await, me(&app, &access).await), (401, 401));
    refresh(&app, &lost_renewal).await.expect(401);
    refresh(&app, &foreign_renewal).await.expect(200);
    let (access, _) = pair(&refresh(&app, &renewal).await.expect(200));
    assert_eq!(listed(&app, &access).await.len(), 1);
    app.with_token(&access).delete(&path).await.expect(404);

    let own = format!("{SESSIONS}/{}", current(&app, &access).await);
    let ended = app.with_token(&access).delete(&own).await;
    assert_eq!(ended.status, 204);
    assert!(ended.header("set-cookie").contains("Max-Age=0"), "{}", ended.header("set-cookie"));
    assert_eq!(me(&app, &access).await, 401);
}

#[actix_rt::test]
async fn signing_out_everywhere_ends_browsers_access_tokens_and_websockets() {
    let app = TestApp::start(&[("AVAL__WEBSOCKET__RECHECK_INTERVAL_MS", "50")]).await;
    let (here, first_cookie) = browser_session(&app, ANALYST).await;
    let (there, second_cookie) = browser_session(&app, ANALYST).await;
    let (api, renewal) = session(&app, ANALYST).await;
    let (other, _) = session(&app, OTHER).await;
    let mut socket = app.unauthenticated_websocket("").await;
    socket.authenticate(&there).await;

    let ended = app.with_token(&here).delete(SESSIONS).await;
    assert_eq!(ended.status, 204);
    let cookie = ended.header("set-cookie").to_owned();
    assert!(cookie.contains("Max-Age=0") && cookie.contains("Path=/api/v1/auth/browser-session"), "{cookie}");
    for token in [&here, &there, &api] {
        assert_eq!(me(&app, token).await, 401);
    }
    for cookie in [&first_cookie, &second_cookie] {
        assert_eq!(browser_refresh(&app, cookie).await, 401);
    }
    refresh(&app, &renewal).await.expect(401);
    assert_eq!(close_code(&mut socket).await, 4401);
    assert_eq!(me(&app, &other).await, 200, "another account must not be affected");
    app.with_token(&here).delete(SESSIONS).await.expect(401);

    let (again, _) = pair(&login(&app, ANALYST, PASSWORD).await.expect(200));
    assert_eq!(listed(&app, &again).await.len(), 1);
    let events = "SELECT string_agg(concat_ws(' ', kind, actor, subject), ', ') FROM security_events \
                  WHERE kind = 'sessions_ended'";
    assert_eq!(app.sql(events).await, format!("sessions_ended {ANALYST} {ANALYST}"));
}

#[actix_rt::test]
async fn an_admin_lists_and_ends_the_sessions_of_another_account_on_all_instances() {
    let one = TestApp::start_idle().await;
    let two =
        TestApp::start_on(std::rc::Rc::clone(&one.database), &[("AVAL__ACCOUNTS__CACHE_TTL_MS", "300000")])
            .await;
    let (access, renewal) = session(&one, USER).await;
    let path = format!("{}/sessions", user_path(&one, USER).await);
    let list = one.get(&path).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["current"], false);
    assert_eq!(list["items"][0]["id"], current(&one, &access).await.as_str());
    for refused in [USER, ANALYST] {
        let caller = one.acting_as(refused).await;
        caller.get(&path).await.expect(403);
        caller.delete(&path).await.expect(403);
    }
    assert_eq!((me(&one, &access).await, me(&two, &access).await), (200, 200));
    assert_eq!(one.delete(&path).await.status, 204);
    assert_eq!(me(&one, &access).await, 401);
    eventually("the other instance to be notified", async || (me(&two, &access).await == 401).then_some(()))
        .await;
    refresh(&two, &renewal).await.expect(401);
    assert_eq!(one.get(&path).await.expect(200)["items"], json!([]));
    let event = "SELECT concat_ws(' ', actor, subject) FROM security_events WHERE kind = 'sessions_ended'";
    assert_eq!(one.sql(event).await, format!("{ADMIN} {USER}"));

    let unknown = "/api/v1/users/019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21/sessions";
    one.get(unknown).await.expect(404);
    one.delete(unknown).await.expect(404);
    one.get("/api/v1/users/x/sessions").await.expect(400);
}

#[actix_rt::test]
async fn a_key_reads_the_sessions_of_accounts_but_has_none_and_ends_none() {
    let app = TestApp::start_idle().await;
    let key = json!({"name": "auditor", "role": "admin", "scopes": ["operations:read", "operations:write"]});
    let made = app.post("/api/v1/api-keys", &key).await.expect(201);
    let auditor = app.with_key(made["key"].as_str().unwrap());
    let path = format!("{}/sessions", user_path(&app, USER).await);
    auditor.get(&path).await.expect(200);
    auditor.delete(&path).await.expect(403);
    auditor.get(SESSIONS).await.expect(403);
    auditor.delete(SESSIONS).await.expect(403);
    // Tokens of `aval token` belong to no session.
    assert_eq!(app.get(SESSIONS).await.expect(200)["items"], json!([]));
}
