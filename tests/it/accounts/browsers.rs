//! Sessions of the web console, whose refresh token is in a cookie.

use actix_web::http::Method;
use serde_json::json;

use super::me;
use crate::support::accounts::{ANALYST, PASSWORD};
use crate::support::app::{Answer, TestApp};

const SESSION: &str = "/api/v1/auth/browser-session";
const REFRESH: &str = "/api/v1/auth/browser-session/refresh";

/// The origin of the server's own pages.
fn own(app: &TestApp) -> String {
    format!("http://{}", app.address())
}

async fn begin(app: &TestApp, origin: &str, password: &str) -> Answer {
    let body = json!({"username": ANALYST, "password": password}).to_string();
    let headers = [("Content-Type", "application/json"), ("Origin", origin)];
    app.anonymous().send(Method::POST, SESSION, &headers, body).await
}

async fn refresh(app: &TestApp, origin: &str, cookie: &str) -> Answer {
    app.anonymous().send(Method::POST, REFRESH, &[("Origin", origin), ("Cookie", cookie)], "").await
}

/// The name and value of the cookie that a response sets.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[actix_rt::test]
async fn the_refresh_token_is_only_in_a_cookie_that_scripts_and_other_sites_cannot_use() {
    let app = TestApp::start_idle().await;
    let answer = begin(&app, &own(&app), PASSWORD).await;
    let set = answer.header("set-cookie").to_owned();
    for attribute in
        ["HttpOnly", "Secure", "SameSite=Strict", "Path=/api/v1/auth/browser-session", "Max-Age=604800"]
    {
        assert!(set.split("; ").any(|part| part == attribute), "{attribute}: {set}");
    }
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = cookie(&answer).split_once('=').unwrap().1.to_owned();
    let body = answer.expect(200);
    assert!(!body.to_string().contains(&token), "{body}");
    assert_eq!(me(&app, body["access_token"].as_str().unwrap()).await, 200);
    begin(&app, &own(&app), "not the password").await.expect(401);
}

#[actix_rt::test]
async fn a_session_is_renewed_with_its_cookie_and_ends_with_it() {
    let app = TestApp::start_idle().await;
    let first = cookie(&begin(&app, &own(&app), PASSWORD).await);
    let answer = refresh(&app, &own(&app), &first).await;
    let second = cookie(&answer);
    assert_ne!(first, second);
    let access = answer.expect(200)["access_token"].as_str().unwrap().to_owned();
    let ended = app.with_token(&access).delete(SESSION).await;
    assert_eq!(ended.status, 204);
    assert!(ended.header("set-cookie").contains("Max-Age=0"), "{}", ended.header("set-cookie"));
    assert_eq!(me(&app, &access).await, 401);
    refresh(&app, &own(&app), &second).await.expect(401);
    let absent = app.anonymous().send(Method::POST, REFRESH, &[("Origin", &own(&app))], "").await;
    absent.expect(401);
}

#[actix_rt::test]
async fn requests_with_another_origin_or_without_one_are_refused() {
    let app = TestApp::start_idle().await;
    let valid = cookie(&begin(&app, &own(&app), PASSWORD).await);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        refresh(&app, origin, &valid).await.expect(403);
        begin(&app, origin, PASSWORD).await.expect(403);
    }
    app.anonymous().send(Method::POST, REFRESH, &[("Cookie", &valid)], "").await.expect(403);
    // The cookie was not used up.
    refresh(&app, &own(&app), &valid).await.expect(200);
}
