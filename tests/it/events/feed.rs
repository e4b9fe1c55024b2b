//! The WebSocket channel `operations`.

use aval::domain::application::Country;
use serde_json::{Value, json};

use super::{SENSITIVE_BREAKER, SPAIN, next, operations, socket_of};
use crate::support::accounts::{ADMIN, ANALYST, OTHER, USER};
use crate::support::app::{Received, TestApp};
use crate::support::builders::spanish;
use crate::support::eventually;

#[actix_rt::test]
async fn only_admins_may_subscribe_to_operations() {
    let app = TestApp::start_idle().await;
    for username in [USER, ANALYST] {
        let mut socket = socket_of(&app, username).await;
        socket.send(&json!({"action": "subscribe", "channel": "operations"})).await;
        let refused = socket.json().await;
        let actual = (&refused["type"], &refused["code"], &refused["channel"]);
        assert_eq!(actual, (&json!("error"), &json!("forbidden"), &json!("operations")), "{username}");
        socket.subscribe(&json!({"channel": "applications"})).await;
    }
    for (scopes, answer) in [
        (json!(["applications:read"]), "error"),
        (json!(["applications:read", "operations:read"]), "subscribed"),
    ] {
        let name = format!("feed-{answer}");
        let request = json!({"name": name, "role": "admin", "scopes": scopes});
        let key = app.post("/api/v1/api-keys", &request).await.expect(201)["key"].clone();
        let mut socket = app.unauthenticated_websocket("").await;
        socket.send(&json!({"action": "auth", "api_key": key})).await;
        assert_eq!(socket.json().await["type"], "authenticated");
        socket.send(&json!({"action": "subscribe", "channel": "operations"})).await;
        assert_eq!(socket.json().await["type"], answer, "{scopes}");
    }
}

#[actix_rt::test]
async fn an_admin_gets_events_of_accounts_and_keys_including_plain_sql() {
    let app = TestApp::start_idle().await;
    let mut socket = app.websocket().await;
    socket.subscribe(&operations()).await;

    let user = json!({"username": "new-colleague", "role": "analyst", "password": "a very long passphrase"});
    let id = app.post("/api/v1/users", &user).await.expect(201)["id"].clone();
    let created = next(&mut socket, "account.created.v1").await;
    assert_eq!(created["data"], json!({"account_id": id, "role": "analyst"}));
    let path = format!("/api/v1/users/{}", id.as_str().unwrap());
    app.patch(&path, &json!({"role": "user"})).await.expect(200);
    let changed = next(&mut socket, "account.role_changed.v1").await;
    assert_eq!(changed["data"], json!({"account_id": id, "role": "user", "previous_role": "analyst"}));
    let own = "SELECT request_id IS NOT NULL FROM outbox WHERE type = 'account.role_changed.v1'";
    assert_eq!(app.sql(own).await, "true", "the event must contain the request identifier");

    app.execute("UPDATE users SET disabled_at = now() WHERE username = 'new-colleague'").await;
    next(&mut socket, "account.disabled.v1").await;
    app.execute("UPDATE users SET disabled_at = NULL WHERE username = 'new-colleague'").await;
    next(&mut socket, "account.enabled.v1").await;
    app.execute(&format!(
        "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE username = '{ADMIN}') \
         WHERE username = 'new-colleague'"
    ))
    .await;
    let reset = next(&mut socket, "account.password_reset.v1").await;
    assert_eq!(reset["data"], json!({"account_id": id, "by_owner": false}));

    let key = json!({"name": "feed", "role": "user", "scopes": ["applications:read"]});
    let key = app.post("/api/v1/api-keys", &key).await.expect(201)["id"].clone();
    let made = next(&mut socket, "account.key_created.v1").await;
    let data = json!({"key_id": key, "role": "user", "scopes": ["applications:read"], "expires_at": null});
    assert_eq!(made["data"], data);
    app.execute("UPDATE api_keys SET revoked_at = now() WHERE name = 'feed'").await;
    assert_eq!(next(&mut socket, "account.key_revoked.v1").await["data"], data);

    let names = "SELECT count(*) FROM outbox WHERE data::text ~ '(new-colleague|feed|test-admin)'";
    assert_eq!(app.sql(names).await, "0", "event data must not contain names");
}

#[actix_rt::test]
async fn an_admin_gets_events_of_breakers_and_overrides() {
    let app = TestApp::start(&SENSITIVE_BREAKER).await;
    let mut socket = app.websocket().await;
    socket.subscribe(&operations()).await;
    app.simulator().script().fail_next(Country::Es, 1);
    app.submit(&spanish()).await;
    let opened = next(&mut socket, "circuit.opened.v1").await;
    assert_eq!(opened["data"]["country"], "ES");
    assert_eq!(opened["data"]["cause"], "consecutive_failures");
    assert_eq!(opened["data"]["instance"], json!(&*app.engine().resources.instance));
    // The re-decision calls the bureau as the probe, and its report approves the application.
    eventually("a report", async || {
        (app.sql("SELECT string_agg(status::text, ' ') FROM applications").await == "APPROVED").then_some(())
    })
    .await;
    let closed = next(&mut socket, "circuit.closed.v1").await;
    assert_eq!(closed["data"]["cause"], "probe_succeeded");

    let end = app.engine().resources.clock.now() + chrono::TimeDelta::minutes(5);
    let force = json!({"mode": "forced_open", "reason": "Announced by Ana", "expires_at": end.to_rfc3339()});
    app.put(SPAIN, &force).await.expect(200);
    let mut updates: Vec<Value> = vec![socket.json().await, socket.json().await];
    updates.sort_by_key(|update| update["event_type"].to_string());
    assert_eq!(updates[0]["event_type"], "circuit.opened.v1");
    assert_eq!(
        (&updates[0]["data"]["cause"], &updates[0]["data"]["open_ms"]),
        (&json!("forced"), &json!(null))
    );
    assert_eq!(updates[1]["event_type"], "circuit.overridden.v1");
    assert_eq!(
        (&updates[1]["data"]["country"], &updates[1]["data"]["mode"]),
        (&json!("ES"), &json!("forced_open"))
    );
    assert!(updates[1]["data"].get("reason").is_none(), "a reason may contain personal data");
    app.execute("DELETE FROM circuit_overrides").await;
    let mut updates =
        [socket.json().await, socket.json().await].map(|update| update["event_type"].to_string());
    updates.sort();
    assert_eq!(updates, ["\"circuit.closed.v1\"", "\"circuit.overridden.v1\""]);
    let subjects = "SELECT count(DISTINCT subject) FROM outbox WHERE type LIKE 'circuit.%'";
    assert_eq!(app.sql(subjects).await, "1");
}

#[actix_rt::test]
async fn a_reconnecting_admin_gets_missed_events() {
    let app = TestApp::start_idle().await;
    let mut socket = app.websocket().await;
    let position = socket.subscribe(&operations()).await;
    drop(socket);
    app.submit(&spanish()).await;
    app.execute(&format!("UPDATE users SET disabled_at = now() WHERE username = '{OTHER}'")).await;
    app.execute(&format!("UPDATE users SET disabled_at = NULL WHERE username = '{OTHER}'")).await;
    let mut again = app.websocket().await;
    let resume = json!({"channel": "operations", "epoch": position["epoch"], "offset": position["offset"]});
    let answer = again.subscribe(&resume).await;
    assert_eq!(answer["recovered"], true);
    let disabled = next(&mut again, "account.disabled.v1").await;
    let enabled = next(&mut again, "account.enabled.v1").await;
    assert!(disabled["offset"].as_i64() < enabled["offset"].as_i64());
    assert_eq!(disabled["epoch"], position["epoch"]);
}

#[actix_rt::test]
async fn a_demoted_admin_is_disconnected_and_gets_no_further_events() {
    let app = TestApp::start(&SENSITIVE_BREAKER).await;
    app.execute(&format!("UPDATE users SET role = 'admin' WHERE username = '{OTHER}'")).await;
    let mut socket = socket_of(&app, OTHER).await;
    socket.subscribe(&operations()).await;
    app.execute(&format!("UPDATE users SET role = 'analyst' WHERE username = '{OTHER}'")).await;
    loop {
        match socket.receive().await {
            Received::Closed(code) => break assert_eq!(code.map(u16::from), Some(4401)),
            // The event of the change itself may arrive before the account is checked again.
            Received::Json(message) => assert!(
                message["code"] == "credential_revoked" || message["event_type"] == "account.role_changed.v1",
                "{message}"
            ),
        }
    }
    let mut again = socket_of(&app, OTHER).await;
    again.send(&json!({"action": "subscribe", "channel": "operations"})).await;
    assert_eq!(again.json().await["code"], "forbidden");
}

#[actix_rt::test]
async fn events_of_other_families_do_not_affect_subscribers_of_applications() {
    let app = TestApp::start(&[]).await;
    let mut user = socket_of(&app, USER).await;
    user.subscribe(&json!({"channel": "applications"})).await;
    let mut staff = app.websocket().await;
    staff.subscribe(&json!({"channel": "applications"})).await;
    for kind in ["loan.granted.v1", "account.vanished.v7"] {
        let row = format!("INSERT INTO outbox (type, subject, data) VALUES ('{kind}', uuid_v7_now(), '[1]')");
        app.execute(&row).await;
    }
    app.execute(&format!("UPDATE users SET disabled_at = now() WHERE username = '{OTHER}'")).await;
    let id = app.acting_as(USER).await.submit(&spanish()).await;
    let statuses = ["PENDING", "VALIDATING", "APPROVED"];
    for socket in [&mut user, &mut staff] {
        for status in statuses {
            let update = socket.json().await;
            assert_eq!((&update["type"], &update["data"]["id"]), (&json!("application_update"), &json!(id)));
            assert_eq!(update["data"]["status"], status);
        }
    }
    assert_eq!(app.metric("unknown_labels_total{table=\"outbox\"}").await, 2.0);
}
