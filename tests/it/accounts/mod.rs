//! Authentication and authorization.

mod authority;
mod browsers;
mod guessing;
mod keys;
mod operators;
mod own_sessions;
mod people;
mod preferences;
mod routes;
mod sessions;
mod websocket;

use serde_json::{Value, json};

use crate::support::accounts::PASSWORD;
use crate::support::app::{Answer, TestApp};

const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const ME: &str = "/api/v1/auth/me";

/// Signs in and returns the response.
async fn login(app: &TestApp, username: &str, password: &str) -> Answer {
    app.anonymous().post(LOGIN, &json!({"username": username, "password": password})).await
}

/// Signs in with the password of all test accounts. Returns the access and the refresh token.
async fn session(app: &TestApp, username: &str) -> (String, String) {
    pair(&login(app, username, PASSWORD).await.expect(200))
}

fn pair(tokens: &Value) -> (String, String) {
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.anonymous().post(REFRESH, &json!({"refresh_token": token})).await
}

/// The HTTP status that the owner of `token` gets for a request for its own account.
async fn me(app: &TestApp, token: &str) -> u16 {
    app.with_token(token).get(ME).await.status.as_u16()
}

/// The path of an account.
async fn user_path(app: &TestApp, username: &str) -> String {
    let id = app.sql(&format!("SELECT id FROM users WHERE username = '{username}'")).await;
    format!("/api/v1/users/{id}")
}
