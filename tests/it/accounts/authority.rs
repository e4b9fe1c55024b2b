//! A user or API key that loses its permission cannot complete a change that has begun. All changes of accounts and keys are
//! recorded as security events.

use std::time::Duration;

use futures_util::future::join;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ME, login, session, user_path};
use crate::support::accounts::{ADMIN, ANALYST, PASSWORD, USER};
use crate::support::app::TestApp;
use crate::support::db::{execute, text};
use crate::support::eventually;

const USERS: &str = "/api/v1/users";
const KEYS: &str = "/api/v1/api-keys";
const EVENTS: &str = "/api/v1/admin/security-events";
const SECOND_ADMIN: &str = "second-admin";

/// Creates a second admin. Returns its path and an access token.
async fn second_admin(app: &TestApp) -> (String, String) {
    let body = json!({"username": SECOND_ADMIN, "password": "a long enough password", "role": "admin"});
    let made = app.post(USERS, &body).await.expect(201);
    let token = app.engine().accounts.operator_token(SECOND_ADMIN, Duration::from_secs(3600)).await.unwrap();
    (format!("{USERS}/{}", made["id"].as_str().unwrap()), token.expose_secret().to_owned())
}

async fn make_key(app: &TestApp, token: &str, body: &Value) -> (String, String) {
    let made = app.with_token(token).post(KEYS, body).await.expect(201);
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

/// Sends a request up to the first byte of its body. Returns the stream and the rest of the body.
async fn stalled(
    app: &TestApp,
    method: &str,
    path: &str,
    credential: &str,
    body: &Value,
) -> (TcpStream, String) {
    let body = body.to_string();
    let (first, rest) = body.split_at(1);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\n{credential}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    (stream, rest.to_owned())
}

#[actix_rt::test]
async fn a_request_with_a_slow_body_is_rejected_if_its_sender_is_disabled_meanwhile() {
    let app = TestApp::start_idle().await;
    let (path, token) = second_admin(&app).await;
    let new_key = |name: &str| json!({"name": name, "role": "admin", "scopes": ["operations:write", "applications:write"]});
    let (key_id, key) = make_key(&app, &app.token, &new_key("held")).await;
    let (bearer, with_key) = (format!("Authorization: Bearer {token}"), format!("X-API-Key: {key}"));
    let soon = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).to_rfc3339();
    let forced_open = json!({"mode": "forced_open", "reason": "late", "expires_at": soon});
    let mut held = Vec::new();
    for (method, path, credential, body) in [
        ("POST", USERS, &bearer, json!({"username": "late.admin", "password": PASSWORD, "role": "admin"})),
        ("POST", KEYS, &bearer, new_key("late")),
        ("PATCH", path.as_str(), &bearer, json!({"disabled": false})),
        ("PUT", "/api/v1/admin/circuits/ES", &bearer, forced_open),
        ("POST", "/api/v1/applications", &with_key, crate::support::builders::spanish()),
    ] {
        held.push(stalled(&app, method, path, credential, &body).await);
    }
    eventually("the requests to wait for their bodies", async || {
        let metrics = app.get("/metrics").await.text();
        let waiting = metrics.lines().filter(|line| line.starts_with("http_requests_in_progress"));
        let sum: f64 = waiting.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
        (sum >= 6.0).then_some(())
    })
    .await;
    app.patch(&path, &json!({"disabled": true})).await.expect(200);
    app.delete(&format!("{KEYS}/{key_id}")).await.expect(204);
    for (mut stream, rest) in held {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(
            answer.contains("credential_revoked") && answer.contains(r#"error="invalid_token""#),
            "{answer}"
        );
    }
    let made = "SELECT (SELECT count(*) FROM users WHERE username = 'late.admin' OR username = 'second-admin' \
                AND disabled_at IS NULL) + (SELECT count(*) FROM api_keys WHERE name = 'late') + \
                (SELECT count(*) FROM applications) + (SELECT count(*) FROM circuit_overrides)";
    assert_eq!(app.sql(made).await, "0");
}

/// Runs `change` in a transaction that stays open until `request` waits for its lock.
async fn commit_while_waiting<R>(app: &TestApp, change: &str, request: impl Future<Output = R>) -> R {
    let mut sql = app.database.connect().await;
    execute(&mut sql, "BEGIN").await.unwrap();
    execute(&mut sql, change).await.unwrap();
    let commit = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the request to wait for the lock", async || {
            (app.sql(waiting).await != "0").then_some(())
        })
        .await;
        execute(&mut sql, "COMMIT").await.unwrap();
    };
    join(request, commit).await.0
}

#[actix_rt::test]
async fn changes_of_accounts_and_keys_fail_if_the_caller_loses_its_access_before_they_commit() {
    let app = TestApp::start_idle_with(&[("AVAL__ACCOUNTS__KEYS_MAKE_KEYS", "true")]).await;
    let (path, token) = second_admin(&app).await;
    let caller = app.with_token(&token);
    let new_key = |name: &str| json!({"name": name, "role": "user", "scopes": ["applications:read"]});
    let (kept, _) = make_key(&app, &app.token, &new_key("kept")).await;
    let disable = format!("UPDATE users SET disabled_at = now() WHERE username = '{SECOND_ADMIN}'");
    let enable = format!(
        "UPDATE users SET disabled_at = NULL, token_version = token_version + 1 WHERE username = '{SECOND_ADMIN}'"
    );
    let demote = format!("UPDATE users SET role = 'analyst' WHERE username = '{SECOND_ADMIN}'");
    let account = json!({"username": "late.admin", "password": PASSWORD, "role": "admin"});

    let refused = commit_while_waiting(&app, &disable, caller.post(USERS, &account)).await;
    assert_eq!(refused.expect(401)["code"], "credential_revoked");
    app.execute(&enable).await;

    for (change, undo) in [
        (&disable, &enable),
        (&demote, &format!("UPDATE users SET role = 'admin' WHERE username = '{SECOND_ADMIN}'")),
    ] {
        let token =
            app.engine().accounts.operator_token(SECOND_ADMIN, Duration::from_secs(3600)).await.unwrap();
        let caller = app.with_token(token.expose_secret());
        commit_while_waiting(&app, change, caller.post(KEYS, &new_key("late"))).await.expect(401);
        app.execute(undo).await;
        let token =
            app.engine().accounts.operator_token(SECOND_ADMIN, Duration::from_secs(3600)).await.unwrap();
        let caller = app.with_token(token.expose_secret());
        commit_while_waiting(&app, change, caller.delete(&format!("{KEYS}/{kept}"))).await.expect(401);
        app.execute(undo).await;
        let token =
            app.engine().accounts.operator_token(SECOND_ADMIN, Duration::from_secs(3600)).await.unwrap();
        let caller = app.with_token(token.expose_secret());
        commit_while_waiting(&app, change, caller.patch(&path, &json!({"disabled": false, "role": "admin"})))
            .await
            .expect(401);
        app.execute(undo).await;
    }

    let (maker, maker_key) = make_key(
        &app,
        &app.token,
        &json!({"name": "maker", "role": "admin", "scopes": ["operations:write", "applications:read"]}),
    )
    .await;
    let revoke = format!("UPDATE api_keys SET revoked_at = now() WHERE id = '{maker}'");
    commit_while_waiting(&app, &revoke, app.with_key(&maker_key).post(KEYS, &new_key("late")))
        .await
        .expect(401);

    let made = "SELECT (SELECT count(*) FROM users WHERE username = 'late.admin') \
                + (SELECT count(*) FROM api_keys WHERE name = 'late' OR name = 'kept' AND revoked_at IS NOT NULL)";
    assert_eq!(app.sql(made).await, "0");
}

#[actix_rt::test]
async fn changing_ones_password_does_not_override_an_earlier_reset_or_disabling() {
    let app = TestApp::start_idle().await;
    let change = json!({"current_password": PASSWORD, "new_password": "a longer horse battery"});
    let hash = format!("SELECT password_hash FROM users WHERE username = '{USER}'");
    let reset = format!(
        "UPDATE users SET password_hash = '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g' WHERE username = '{USER}'"
    );
    let original = app.sql(&hash).await;
    for (concurrent_change, undo) in [
        (reset, format!("UPDATE users SET password_hash = '{original}' WHERE username = '{USER}'")),
        (
            format!("UPDATE users SET disabled_at = now() WHERE username = '{USER}'"),
            format!("UPDATE users SET disabled_at = NULL WHERE username = '{USER}'"),
        ),
        (
            format!("UPDATE users SET token_version = token_version + 1 WHERE username = '{USER}'"),
            "SELECT 1".to_owned(),
        ),
    ] {
        let (access, _) = session(&app, USER).await;
        let answer = commit_while_waiting(
            &app,
            &concurrent_change,
            app.with_token(&access).post("/api/v1/auth/password", &change),
        )
        .await;
        assert_eq!(answer.expect(401)["code"], "credential_revoked", "{concurrent_change}");
        assert_eq!(
            app.sql(
                "SELECT count(*) FROM refresh_tokens WHERE revoked_at IS NULL AND session_started_at > \
            (SELECT max(occurred_at) FROM security_events WHERE kind = 'login_succeeded')"
            )
            .await,
            "0"
        );
        app.execute(&undo).await;
    }
    assert_eq!(app.sql(&hash).await, original);
    login(&app, USER, "a longer horse battery").await.expect(401);
}

#[actix_rt::test]
async fn a_sign_in_begins_no_session_if_the_account_is_reset_or_disabled_meanwhile() {
    let app = TestApp::start_idle().await;
    let original = app.sql(&format!("SELECT password_hash FROM users WHERE username = '{USER}'")).await;
    for (concurrent_change, undo) in [
        (
            "password_hash = '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g'",
            format!("password_hash = '{original}'"),
        ),
        ("disabled_at = now()", "disabled_at = NULL".to_owned()),
    ] {
        let change = format!("UPDATE users SET {concurrent_change} WHERE username = '{USER}'");
        commit_while_waiting(&app, &change, login(&app, USER, PASSWORD)).await.expect(401);
        app.execute(&format!("UPDATE users SET {undo} WHERE username = '{USER}'")).await;
    }
    let sessions = "SELECT (SELECT count(*) FROM refresh_tokens) + \
                 (SELECT count(*) FROM security_events WHERE kind = 'login_succeeded')";
    assert_eq!(app.sql(sessions).await, "0");
    login(&app, USER, PASSWORD).await.expect(200);
}

#[actix_rt::test]
async fn changing_ones_own_password_always_requires_the_current_one() {
    let app = TestApp::start_idle().await;
    let path = user_path(&app, ADMIN).await;
    app.patch(&path, &json!({"password": "a longer horse battery"})).await.expect(403);
    app.patch(&path, &json!({"password": "a longer horse battery", "role": "admin"})).await.expect(403);
    login(&app, ADMIN, PASSWORD).await.expect(200);
    let (other, _) = second_admin(&app).await;
    app.patch(&other, &json!({"password": "a longer horse battery"})).await.expect(200);
}

#[actix_rt::test]
async fn a_key_ends_with_its_creator() {
    let app = TestApp::start_idle_with(&[("AVAL__ACCOUNTS__KEYS_MAKE_KEYS", "true")]).await;
    let (path, token) = second_admin(&app).await;
    let key = |name: &str, expires_at: Option<&str>| json!({"name": name, "role": "admin", "scopes": ["operations:write", "operations:read"], "expires_at": expires_at});
    let without_null_expiry = |body: &Value| {
        let mut body = body.clone();
        if body["expires_at"].is_null() {
            body.as_object_mut().unwrap().remove("expires_at");
        }
        body
    };
    let soon = "2099-01-01T00:00:00Z";
    let (parent, parent_key) = make_key(&app, &token, &key("parent", Some(soon))).await;
    let mut texts = vec![parent_key.clone()];
    for (name, expires_at) in
        [("endless", None), ("later", Some("2199-01-01T00:00:00Z")), ("sooner", Some("2098-01-01T00:00:00Z"))]
    {
        let made = app
            .with_key(&parent_key)
            .post(KEYS, &without_null_expiry(&key(name, expires_at)))
            .await
            .expect(201);
        let end = made["expires_at"].as_str().unwrap();
        assert!(end.starts_with(if name == "sooner" { "2098-01-01" } else { "2099-01-01" }), "{name}: {end}");
        texts.push(made["key"].as_str().unwrap().to_owned());
    }
    let grandchild =
        app.with_key(&texts[1]).post(KEYS, &without_null_expiry(&key("grandchild", None))).await.expect(201);
    assert!(grandchild["expires_at"].as_str().unwrap().starts_with("2099-01-01"));
    texts.push(grandchild["key"].as_str().unwrap().to_owned());
    // Shortening the lifetime of a key also shortens that of the keys it created.
    app.execute(&format!("UPDATE api_keys SET expires_at = '2097-01-01T00:00:00Z' WHERE id = '{parent}'"))
        .await;
    assert_eq!(app.sql("SELECT count(*) FROM api_keys WHERE expires_at > '2097-01-02'").await, "0");

    let (_, sibling) = make_key(&app, &token, &without_null_expiry(&key("sibling", None))).await;
    app.delete(&format!("{KEYS}/{parent}")).await.expect(204);
    for text in &texts {
        assert_eq!(app.with_key(text).get(ME).await.expect(401)["code"], "credential_revoked");
    }
    app.with_key(&sibling).get(ME).await.expect(200);
    // Keys of a demoted admin and of a disabled user are revoked.
    app.patch(&path, &json!({"role": "analyst"})).await.expect(200);
    app.with_key(&sibling).get(ME).await.expect(401);
    app.patch(&path, &json!({"role": "admin"})).await.expect(200);
    let token = app.engine().accounts.operator_token(SECOND_ADMIN, Duration::from_secs(60)).await.unwrap();
    let (_, last) = make_key(&app, token.expose_secret(), &without_null_expiry(&key("last", None))).await;
    app.patch(&path, &json!({"disabled": true})).await.expect(200);
    app.with_key(&last).get(ME).await.expect(401);
    app.patch(&path, &json!({"disabled": false})).await.expect(200);
    app.with_key(&last).get(ME).await.expect(401);
}

#[actix_rt::test]
async fn keys_cannot_create_keys_unless_configured() {
    let app = TestApp::start_idle().await;
    let body = json!({"name": "maker", "role": "admin", "scopes": ["operations:write"]});
    let (_, key) = make_key(&app, &app.token, &body).await;
    let child = json!({"name": "child", "role": "admin", "scopes": ["operations:write"]});
    app.with_key(&key).post(KEYS, &child).await.expect(403);
}

#[actix_rt::test]
async fn security_events_record_changes_of_accounts_and_keys_and_are_immutable() {
    let app = TestApp::start_idle().await;
    let (path, _) = second_admin(&app).await;
    app.patch(&path, &json!({"role": "analyst"})).await.expect(200);
    app.patch(&path, &json!({"password": "a longer horse battery"})).await.expect(200);
    app.patch(&path, &json!({"disabled": true})).await.expect(200);
    app.patch(&path, &json!({"disabled": false})).await.expect(200);
    let (id, key) =
        make_key(&app, &app.token, &json!({"name": "bank", "role": "user", "scopes": ["applications:read"]}))
            .await;
    for _ in 0..3 {
        app.with_key(&key).get(ME).await.expect(200);
    }
    app.delete(&format!("{KEYS}/{id}")).await.expect(204);
    let (access, refresh_token) = session(&app, ANALYST).await;
    login(&app, ANALYST, "not the password").await.expect(401);
    login(&app, "hunter2@example.com", "not the password").await.expect(401);
    app.with_token(&access).post("/api/v1/auth/logout", &json!({})).await.expect(204);
    let (_, stolen) = session(&app, USER).await;
    super::refresh(&app, &stolen).await.expect(200);
    app.execute("UPDATE refresh_tokens SET rotated_at = rotated_at - interval '11 seconds' WHERE rotated_at IS NOT NULL").await;
    super::refresh(&app, &stolen).await.expect(401);
    super::refresh(&app, &refresh_token).await.expect(401);
    app.execute(&format!("UPDATE users SET role = 'analyst' WHERE username = '{USER}'")).await;

    let mut listed = Vec::new();
    let mut next = format!("{EVENTS}?page_size=7");
    loop {
        let page = app.get(&next).await.expect(200);
        listed.extend(page["events"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{EVENTS}?page_size=7&cursor={cursor}");
    }
    let find = |kind: &str, subject: &Value| {
        let found = listed.iter().find(|event| event["kind"] == kind && event["subject"] == *subject);
        found.unwrap_or_else(|| panic!("{kind} {subject} in {listed:#?}")).clone()
    };
    for (kind, subject, actor) in [
        ("account_created", SECOND_ADMIN, Some(ADMIN)),
        ("account_role_changed", SECOND_ADMIN, Some(ADMIN)),
        ("password_changed", SECOND_ADMIN, Some(ADMIN)),
        ("account_disabled", SECOND_ADMIN, Some(ADMIN)),
        ("account_enabled", SECOND_ADMIN, Some(ADMIN)),
        ("api_key_created", "key:bank", Some(ADMIN)),
        ("api_key_first_used", "key:bank", Some("key:bank")),
        ("api_key_revoked", "key:bank", Some(ADMIN)),
        ("login_succeeded", ANALYST, Some(ANALYST)),
        ("login_failed", ANALYST, None),
        ("logged_out", ANALYST, Some(ANALYST)),
        ("refresh_token_reused", USER, None),
    ] {
        let event = find(kind, &json!(subject));
        assert_eq!(event["actor"], json!(actor), "{kind}");
        if kind != "api_key_first_used" {
            assert_eq!(event["address"], "127.0.0.1", "{kind}");
            assert!(event["request_id"].is_string(), "{kind}");
        }
    }
    assert_eq!(
        find("account_role_changed", &json!(SECOND_ADMIN))["detail"],
        json!({"from": "admin", "to": "analyst"})
    );
    assert_eq!(find("account_role_changed", &json!(USER))["actor"], "database:aval", "by plain SQL");
    assert_eq!(find("login_failed", &Value::Null)["detail"]["attempts"], 1);
    assert_eq!(listed.iter().filter(|event| event["kind"] == "api_key_first_used").count(), 1);
    let narrowed = app.get(&format!("{EVENTS}?kind=login_failed&subject={ANALYST}")).await.expect(200);
    assert_eq!(narrowed["events"].as_array().unwrap().len(), 1);
    app.get(&format!("{EVENTS}?from=2026-02-01&to=2026-01-01")).await.expect(422);

    let stored = app.sql("SELECT string_agg(s::text, ' ') FROM security_events s").await;
    assert!(!stored.contains("hunter2") && !stored.contains("127.0.0.1"), "{stored}");
    let mut sql = app.database.connect().await;
    for statement in [
        "UPDATE security_events SET actor = 'nobody'",
        "UPDATE security_events SET address = NULL WHERE address IS NOT NULL",
        "DELETE FROM security_events",
        "TRUNCATE security_events",
    ] {
        assert!(execute(&mut sql, statement).await.is_err(), "{statement}");
    }
    let delete = "SELECT delete_expired_security_events(now() + interval '1 year', 1000)";
    assert_eq!(text(&mut sql, delete).await.as_deref(), Some("0"), "events of the last 90 days must be kept");
}
