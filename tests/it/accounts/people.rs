//! Creation and changes of user accounts by admins.

use serde_json::{Value, json};

use super::{login, me, pair, refresh, session, user_path};
use crate::support::accounts::{ADMIN, PASSWORD, USER};
use crate::support::app::TestApp;

const USERS: &str = "/api/v1/users";

fn new_account(username: &str, role: &str) -> Value {
    json!({"username": username, "password": "a long enough password", "role": role})
}

#[actix_rt::test]
async fn an_account_is_created_read_and_listed_without_its_password() {
    let app = TestApp::start_idle().await;
    let made = app.post(USERS, &new_account("rui.costa", "analyst")).await;
    let location = made.header("location").to_owned();
    let made = made.expect(201);
    assert_eq!((&made["created_by"], &made["disabled"]), (&json!(ADMIN), &json!(false)));
    assert_eq!(app.get(&location).await.expect(200), made);
    login(&app, "rui.costa", "a long enough password").await.expect(200);

    let mut names = Vec::new();
    let mut path = format!("{USERS}?page_size=2");
    loop {
        let page = app.get(&path).await.expect(200);
        assert!(!page.to_string().contains("argon2"));
        names.extend(page["users"].as_array().unwrap().iter().map(|user| user["username"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{USERS}?page_size=2&cursor={cursor}");
    }
    assert_eq!(names.len(), 5);
    assert_eq!(names[0], "rui.costa", "the newest must come first");
    app.get(&format!("{USERS}?cursor=x")).await.expect(422);
    app.get(&format!("{USERS}/01890a5d-ac96-774b-bcce-b302099a8057")).await.expect(404);
}

#[actix_rt::test]
async fn invalid_accounts_are_rejected_with_field_errors() {
    let app = TestApp::start_idle().await;
    app.post(USERS, &new_account(USER, "user")).await.expect(409);
    for (body, error) in [
        (json!({"username": "Ana", "password": PASSWORD, "role": "user"}), "/username bad_name"),
        (json!({"username": "ana.lopez", "password": "elevenchars", "role": "user"}), "/password bad_length"),
        (
            json!({"username": "ana.maria.lopez", "password": "Ana.Maria.Lopez", "role": "user"}),
            "/password too_obvious",
        ),
        (
            json!({"username": "ana.lopez", "password": "x".repeat(129), "role": "user"}),
            "/password bad_length",
        ),
        (json!({"username": "ana.lopez", "password": PASSWORD, "role": "root"}), "/role unknown_role"),
        (json!({"username": "ana.lopez", "password": PASSWORD}), "/role required"),
        (
            json!({"username": "ana.lopez", "password": PASSWORD, "role": "user", "id": 1}),
            "/id unknown_field",
        ),
        (json!({"name": "Ada Lovelace", "email": "ada@"}), "/email bad_email"),
        (json!({"name": "1", "email": "ada@example.com"}), "/name bad_name"),
        (
            json!({"username": "ana.lopez", "password": PASSWORD, "email": "ana@example.com"}),
            "/role required",
        ),
    ] {
        let answer = app.post(USERS, &body).await;
        assert_eq!(answer.field_errors(), [error]);
        answer.expect(422);
    }
    let path = user_path(&app, USER).await;
    app.patch(&path, &json!({})).await.expect(422);
    assert_eq!(
        app.patch(&path, &json!({"password": "short"})).await.field_errors(),
        ["/password bad_length"]
    );
}

#[actix_rt::test]
async fn an_account_can_be_created_with_a_name_and_an_email_address_alone() {
    let app = TestApp::start_idle().await;
    let ada = json!({"name": "Ada Lovelace", "email": "Ada@example.com"});
    let made = app.post(USERS, &ada).await;
    let path = made.header("location").to_owned();
    let made = made.expect(201);
    assert_eq!((&made["name"], &made["email"], &made["role"]), (&ada["name"], &ada["email"], &json!("user")));
    let username = made["username"].as_str().unwrap();
    assert!(username.starts_with("user-") && username.len() == 21, "{username}");
    assert_eq!(app.get(&path).await.expect(200), made);
    assert_eq!(app.get(USERS).await.expect(200)["users"][0], made);

    app.patch(&path, &json!({"password": "a long enough password"})).await.expect(200);
    login(&app, username, "a long enough password").await.expect(200);

    let again = app.post(USERS, &json!({"name": "Ada", "email": "ada@EXAMPLE.com"})).await;
    assert!(again.expect(409)["detail"].as_str().unwrap().contains("e-mail address"));
    let user = user_path(&app, USER).await;
    app.patch(&user, &json!({"email": "ada@example.com"})).await.expect(409);
    assert_eq!(app.get(&user).await.expect(200)["email"], Value::Null);

    let changed = app.patch(&path, &json!({"name": null, "email": "ada@example.org"})).await.expect(200);
    assert_eq!((&changed["name"], &changed["email"]), (&Value::Null, &json!("ada@example.org")));
    app.patch(&user, &json!({"email": "ada@example.com"})).await.expect(200);
    let changed = app.patch(&path, &json!({"email": null})).await.expect(200);
    assert_eq!(changed["email"], Value::Null);
    let events =
        "SELECT string_agg(subject, ' ' ORDER BY id) FROM security_events WHERE kind = 'contact_changed'";
    assert_eq!(app.sql(events).await, format!("{username} {USER} {username}"));
    assert_eq!(app.sql("SELECT count(*) FROM account_contacts").await, "1");
    assert_eq!(
        app.sql("SELECT count(*) FROM account_contacts WHERE encode(email, 'escape') LIKE '%ada%'").await,
        "0"
    );
}

#[actix_rt::test]
async fn a_role_change_takes_effect_immediately_and_the_session_continues() {
    let app = TestApp::start_idle().await;
    let (access, refresh_token) = session(&app, USER).await;
    app.patch(&user_path(&app, USER).await, &json!({"role": "analyst"})).await.expect(200);
    assert_eq!(me(&app, &access).await, 401);
    let (renewed, _) = pair(&refresh(&app, &refresh_token).await.expect(200));
    assert_eq!(app.with_token(&renewed).get(super::ME).await.expect(200)["role"], "analyst");
}

#[actix_rt::test]
async fn a_disabled_account_loses_access_immediately_and_must_sign_in_again() {
    let app = TestApp::start_idle().await;
    let path = user_path(&app, USER).await;
    let (access, refresh_token) = session(&app, USER).await;
    let disabled = app.patch(&path, &json!({"disabled": true})).await.expect(200);
    assert!(disabled["disabled_at"].is_string());
    assert_eq!(me(&app, &access).await, 401);
    refresh(&app, &refresh_token).await.expect(401);
    login(&app, USER, PASSWORD).await.expect(401);
    app.patch(&path, &json!({"disabled": false})).await.expect(200);
    assert_eq!(me(&app, &access).await, 401);
    refresh(&app, &refresh_token).await.expect(401);
    login(&app, USER, PASSWORD).await.expect(200);
}

#[actix_rt::test]
async fn the_last_enabled_admin_cannot_be_removed_even_concurrently() {
    let app = TestApp::start_idle().await;
    let path = user_path(&app, ADMIN).await;
    for change in [json!({"role": "user"}), json!({"disabled": true})] {
        assert_eq!(app.patch(&path, &change).await.expect(409)["code"], "conflict");
    }
    let second = app.post(USERS, &new_account("second-admin", "admin")).await.expect(201);
    let second_path = format!("{USERS}/{}", second["id"].as_str().unwrap());
    let admins = "SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL";
    for round in 0..10 {
        let token = app.engine().accounts.admin_token(std::time::Duration::from_secs(60)).await.unwrap();
        let caller = app.with_token(secrecy::ExposeSecret::expose_secret(&token));
        let change = if round % 2 == 0 { json!({"role": "analyst"}) } else { json!({"disabled": true}) };
        let (one, two) =
            futures_util::join!(caller.patch(&path, &change), caller.patch(&second_path, &change));
        // The request that commits second is rejected, because it would remove the last admin or because its caller is no
        // longer an admin.
        assert!(one.status == 200 || two.status == 200, "{} {}", one.status, two.status);
        assert_eq!(app.sql(admins).await, "1");
        app.execute("UPDATE users SET role = 'admin', disabled_at = NULL WHERE username IN ('test-admin', 'second-admin')")
            .await;
    }
}

#[actix_rt::test]
async fn sql_cannot_change_names_or_decrease_token_versions() {
    let app = TestApp::start_idle().await;
    let mut sql = app.database.connect().await;
    for statement in [
        "UPDATE users SET username = 'somebody-else' WHERE username = 'test-user'",
        "UPDATE users SET token_version = token_version - 1 WHERE username = 'test-user'",
        "INSERT INTO users (id, username, password_hash, role, created_by) VALUES (uuid_v7_now(), 'plain', 'secret', 'user', 'x')",
        "INSERT INTO users (id, username, password_hash, role, created_by) VALUES (uuid_v7_now(), 'key:x', '$argon2id$x', 'user', 'x')",
    ] {
        assert!(crate::support::db::execute(&mut sql, statement).await.is_err(), "{statement}");
    }
}
