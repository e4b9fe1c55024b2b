//! API keys of machine clients.

use aval::storage::api_keys;
use serde_json::json;

use super::ME;
use crate::support::accounts::ADMIN;
use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::db::{execute, text};
use crate::support::eventually;

const KEYS: &str = "/api/v1/api-keys";

async fn make(app: &TestApp, name: &str, role: &str, scopes: &[&str]) -> (String, String) {
    let made = app.post(KEYS, &json!({"name": name, "role": role, "scopes": scopes})).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.expect(201);
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

#[actix_rt::test]
async fn a_key_acts_as_its_own_account_and_its_text_is_not_stored() {
    let app = TestApp::start_idle().await;
    let (_, key) = make(&app, "core-banking", "user", &["applications:read", "applications:write"]).await;
    let caller = app.with_key(&key);
    let me = caller.get(ME).await.expect(200);
    assert_eq!((&me["account"], &me["credential"]), (&json!("key:core-banking"), &json!("api_key")));
    assert_eq!(me["scopes"], json!(["applications:read", "applications:write"]));
    let id = caller.submit(&spanish()).await;
    let by = app.sql(&format!("SELECT created_by FROM applications WHERE id = '{id}'")).await;
    assert_eq!(by, "key:core-banking");
    let foreign = app.submit(&another_spanish_application()).await;
    caller.get(&format!("/api/v1/applications/{foreign}")).await.expect(404);

    let secret = key.rsplit_once('_').map_or(key.as_str(), |_| &key[38..]).to_owned();
    let listed = app.get(KEYS).await.expect(200);
    let shown = &listed["api_keys"][0];
    assert!(key.starts_with(shown["prefix"].as_str().unwrap()));
    assert!(shown["last_used_at"].is_string() && shown["created_by"] == ADMIN);
    for output in [
        listed.to_string(),
        app.sql("SELECT string_agg(k::text, ' ') FROM api_keys k").await,
        app.log.text().await,
    ] {
        assert!(!output.contains(&secret));
    }
}

fn another_spanish_application() -> serde_json::Value {
    crate::support::builders::body(aval::domain::application::Country::Es, "48214907F")
}

#[actix_rt::test]
async fn a_modified_revoked_or_expired_key_is_rejected() {
    let app = TestApp::start_idle().await;
    let (id, key) = make(&app, "core-banking", "user", &["applications:read"]).await;
    app.with_key(&key).get(ME).await.expect(200);
    let last = if key.ends_with('A') { "B" } else { "A" };
    for altered in
        [format!("{}{last}", &key[..key.len() - 1]), key.replacen("aval", "Aval", 1), format!("{key}x")]
    {
        app.with_key(&altered).get(ME).await.expect(401);
    }
    app.execute(&format!("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = '{id}'"))
        .await;
    eventually("the key to expire", async || (app.with_key(&key).get(ME).await.status == 401).then_some(()))
        .await;
    app.execute(&format!("UPDATE api_keys SET expires_at = NULL WHERE id = '{id}'")).await;
    eventually("the key to be valid again", async || {
        (app.with_key(&key).get(ME).await.status == 200).then_some(())
    })
    .await;
    app.delete(&format!("{KEYS}/{id}")).await.expect(204);
    app.with_key(&key).get(ME).await.expect(401);
    app.delete(&format!("{KEYS}/{id}")).await.expect(204);
    app.delete(&format!("{KEYS}/01890a5d-ac96-774b-bcce-b302099a8057")).await.expect(404);
    let again = json!({"name": "core-banking", "role": "user", "scopes": ["applications:read"]});
    app.post(KEYS, &again).await.expect(409);
}

/// The second revocation starts while the key is still valid, and waits for the lock that the first one holds.
#[actix_rt::test]
async fn concurrent_revocations_of_a_key_keep_the_time_of_the_first() {
    let app = TestApp::start_idle().await;
    let (id, _) = make(&app, "twice", "user", &["applications:read"]).await;
    let (mut first, mut second) = (app.database.connect().await, app.database.connect().await);
    let pid = text(&mut second, "SELECT pg_backend_pid()").await.unwrap();
    execute(&mut first, "BEGIN").await.unwrap();
    let revoke = format!("UPDATE api_keys SET revoked_at = '2026-01-01T00:00:00Z' WHERE id = '{id}'");
    execute(&mut first, &revoke).await.unwrap();
    let id: uuid::Uuid = id.parse().unwrap();
    let again = api_keys::revoke(&mut second, id, app.engine().resources.clock.now());
    let commit = async {
        let waits = format!("SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE pid = {pid}");
        eventually("the second revocation to wait for the first", async || {
            (app.sql(&waits).await == "Lock").then_some(())
        })
        .await;
        execute(&mut first, "COMMIT").await.unwrap();
    };
    let (again, ()) = futures_util::future::join(again, commit).await;
    again.unwrap();
    let kept = "SELECT (revoked_at = '2026-01-01T00:00:00Z')::text FROM api_keys";
    assert_eq!(app.sql(kept).await, "true");
}

#[actix_rt::test]
async fn a_key_cannot_create_a_key_with_more_permissions() {
    let app = TestApp::start_idle_with(&[("AVAL__ACCOUNTS__KEYS_MAKE_KEYS", "true")]).await;
    let (_, key) = make(&app, "provisioner", "admin", &["operations:write", "applications:read"]).await;
    let caller = app.with_key(&key);
    let more = json!({"name": "more", "role": "user", "scopes": ["applications:write"]});
    caller.post(KEYS, &more).await.expect(403);
    let less = json!({"name": "less", "role": "user", "scopes": ["applications:read"]});
    caller.post(KEYS, &less).await.expect(201);
}

#[actix_rt::test]
async fn two_credentials_in_a_request_are_rejected() {
    let app = TestApp::start_idle().await;
    let (_, key) = make(&app, "core-banking", "user", &["applications:read"]).await;
    let both = app.admin();
    both.send(actix_web::http::Method::GET, ME, &[("X-API-Key", &key)], "").await.expect(401);
}

#[actix_rt::test]
async fn a_rejected_credential_has_a_code_with_the_reason() {
    let app = TestApp::start_idle().await;
    let (id, key) = make(&app, "core-banking", "user", &["applications:read"]).await;
    let (access, refresh_token) = super::session(&app, crate::support::accounts::USER).await;
    let short = app.engine().accounts.operator_token(ADMIN, std::time::Duration::ZERO).await.unwrap();
    let short = secrecy::ExposeSecret::expose_secret(&short).to_owned();
    app.execute("UPDATE users SET token_version = token_version + 1 WHERE username = 'test-user'").await;
    eventually("the token to end", async || (super::me(&app, &access).await == 401).then_some(())).await;
    let (_, expired) = make(&app, "expired", "user", &["applications:read"]).await;
    app.execute("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'expired'").await;
    eventually("the key to end", async || (app.with_key(&expired).get(ME).await.status == 401).then_some(()))
        .await;
    app.delete(&format!("{KEYS}/{id}")).await.expect(204);
    let wrong_secret = format!("{}{}", &key[..key.len() - 43], "A".repeat(43));
    let bearer = |token: &str| app.with_token(token);
    for (caller, code) in [
        (bearer("nonsense"), "credential_malformed"),
        (bearer("a.b.c"), "credential_malformed"),
        (bearer(&refresh_token), "wrong_credential_kind"),
        (bearer(&access), "credential_revoked"),
        (app.with_key("aval_0_0"), "credential_malformed"),
        (app.with_key("nonsense"), "credential_malformed"),
        (app.with_key(&access), "wrong_credential_kind"),
        (app.with_key(&refresh_token), "wrong_credential_kind"),
        (app.with_key(&key), "credential_revoked"),
        (app.with_key(&expired), "credential_expired"),
        // Only the holder of the secret can learn that a key has expired.
        (app.with_key(&wrong_secret), "unauthenticated"),
    ] {
        let answer = caller.get(ME).await;
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="aval", error="invalid_token""#);
        assert_eq!(answer.expect(401)["code"], code, "{:?}", caller.credential);
    }
    // Because of the leeway, the token is accepted for five more seconds.
    eventually("the token to expire", async || {
        let answer = bearer(&short).get(ME).await;
        (answer.status == 401).then(|| assert_eq!(answer.json["code"], "credential_expired"))
    })
    .await;
    for (token, code) in [
        (key.as_str(), "wrong_credential_kind"),
        (&access, "wrong_credential_kind"),
        ("x", "credential_malformed"),
    ] {
        assert_eq!(super::refresh(&app, token).await.expect(401)["code"], code, "{token}");
    }
}

#[actix_rt::test]
async fn a_key_can_also_be_a_bearer_token_with_the_same_errors() {
    let app = TestApp::start_idle().await;
    let (id, key) = make(&app, "core-banking", "user", &["applications:read"]).await;
    let me = app.with_token(&key).get(ME).await.expect(200);
    assert_eq!((&me["account"], &me["credential"]), (&json!("key:core-banking"), &json!("api_key")));
    let mut socket = app.unauthenticated_websocket("").await;
    assert_eq!(socket.authenticate(&key).await["type"], "authenticated", "{id}");
    app.with_token(&format!("{key}x")).get(ME).await.expect(401);
    app.delete(&format!("{KEYS}/{id}")).await.expect(204);
    app.with_token(&key).get(ME).await.expect(401);
}

#[actix_rt::test]
async fn created_resources_can_be_read_at_their_location() {
    let app = TestApp::start_idle().await;
    let user = json!({"username": "ana.lopez", "password": "correct horse battery", "role": "analyst"});
    let key = json!({"name": "bank", "role": "user", "scopes": ["applications:read"]});
    for (path, body) in [(KEYS, key), ("/api/v1/users", user), ("/api/v1/applications", spanish())] {
        let made = app.post(path, &body).await;
        let location = made.header("location").to_owned();
        let made = made.expect(201);
        assert_eq!(app.get(&location).await.expect(200)["id"], made["id"], "{location}");
    }
    app.get(&format!("{KEYS}/01890a5d-ac96-774b-bcce-b302099a8057")).await.expect(404);
}

#[actix_rt::test]
async fn a_scope_above_the_role_is_rejected_together_with_other_errors() {
    let app = TestApp::start_idle().await;
    let scopes = ["applications:read", "applications:review", "operations:read", "x"];
    let refused = app.post(KEYS, &json!({"name": "B", "role": "user", "scopes": scopes})).await;
    assert_eq!(
        refused.field_errors(),
        [
            "/name bad_name",
            "/scopes/1 scope_needs_role",
            "/scopes/2 scope_needs_role",
            "/scopes/3 unknown_scope"
        ]
    );
    let user = json!({"username": "A", "password": "short", "role": "root", "x": 1});
    assert_eq!(
        app.post("/api/v1/users", &user).await.field_errors(),
        ["/username bad_name", "/password bad_length", "/role unknown_role", "/x unknown_field"]
    );
    let user = json!({"username": "ana.lopez.perez", "password": "ana.lopez.perez", "role": "root"});
    assert_eq!(
        app.post("/api/v1/users", &user).await.field_errors(),
        ["/password too_obvious", "/role unknown_role"]
    );
}
