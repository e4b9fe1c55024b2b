//! Rows written by a newer version, read by this one.

use aval::domain::application::Country;
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};

use crate::support::accounts::{ANALYST, PASSWORD, USER};
use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};

/// Writes what a newer version would write, without running this version's triggers.
async fn write(app: &TestApp, sql: &str) {
    let mut connection = app.database.connect().await;
    connection.batch_execute(&format!("SET session_replication_role = replica; {sql}")).await.unwrap();
}

#[actix_rt::test]
async fn an_unknown_label_affects_only_its_row() {
    let app =
        TestApp::start_idle().await.with_newer_labels(&["ON_HOLD", "FR", "auditor", "escalated", "parked"]);
    let kept = app.submit(&spanish()).await;
    let held = app.submit(&body(Country::Pt, "123456789")).await;
    let moved = app.submit(&body(Country::Co, "1234567890")).await;
    for (kind, label) in [
        ("application_status", "ON_HOLD"),
        ("account_role", "auditor"),
        ("country", "FR"),
        ("audit_action", "escalated"),
        ("job_status", "parked"),
        ("webhook_status", "queued"),
        ("failed_job_status", "escalated"),
    ] {
        app.execute(&format!("ALTER TYPE {kind} ADD VALUE '{label}'")).await;
    }
    write(&app, &format!("UPDATE applications SET status = 'ON_HOLD' WHERE id = '{held}'")).await;
    write(&app, &format!("UPDATE applications SET country = 'FR' WHERE id = '{moved}'")).await;
    write(&app, &format!("UPDATE audit_logs SET action = 'escalated', new_status = 'ON_HOLD' WHERE application_id = '{kept}'"))
        .await;
    write(&app, &format!("UPDATE pending_jobs SET status = 'parked' WHERE application_id = '{held}'")).await;
    write(&app, &format!("UPDATE users SET role = 'auditor' WHERE username = '{USER}'")).await;

    let list = app.get("/api/v1/applications").await.expect(200);
    let statuses: Vec<&Value> =
        list["applications"].as_array().unwrap().iter().map(|row| &row["status"]).collect();
    assert_eq!(statuses, ["PENDING", "ON_HOLD", "PENDING"]);
    assert_eq!(list["applications"][0]["country"], "FR");
    let page = app.get("/api/v1/applications?page_size=1").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = app.get(&format!("/api/v1/applications?page_size=1&cursor={cursor}")).await.expect(200);
    assert_eq!(next["applications"][0]["id"], held.as_str());
    let file = app.get("/api/v1/applications/export.csv").await.text();
    assert!(file.contains("ON_HOLD") && file.contains(&kept), "{file}");
    app.get("/api/v1/stats").await.expect(200);
    let trail = app.get(&format!("/api/v1/applications/{kept}/audit")).await.expect(200);
    assert_eq!(
        (&trail["entries"][0]["action"], &trail["entries"][0]["new_status"]),
        (&"escalated".into(), &"ON_HOLD".into())
    );
    let jobs = app.get("/api/v1/admin/jobs").await.expect(200).to_string();
    assert!(jobs.contains("parked"), "{jobs}");
    let users = app.get("/api/v1/users?page_size=100").await.expect(200).to_string();
    assert!(users.contains("auditor") && users.contains(ANALYST), "{users}");
    assert!(app.metric("unknown_labels_total{table=\"applications\"}").await >= 2.0);

    app.get(&format!("/api/v1/applications/{kept}")).await.expect(200);
    for id in [&held, &moved] {
        let refused = app.get(&format!("/api/v1/applications/{id}")).await.expect(409);
        assert_eq!(refused["code"], "unknown_label", "{refused}");
    }
    let login = |name: &str| json!({"username": name, "password": PASSWORD});
    let refused = app.anonymous().post("/api/v1/auth/login", &login(USER)).await.expect(409);
    assert_eq!(refused["code"], "unknown_label", "{refused}");
    app.anonymous().post("/api/v1/auth/login", &login(ANALYST)).await.expect(200);

    let id = app.sql(&format!("SELECT id FROM users WHERE username = '{USER}'")).await;
    let path = format!("/api/v1/users/{id}");
    assert_eq!(app.get(&path).await.expect(200)["role"], "auditor");
    let disabled = app.patch(&path, &json!({"disabled": true})).await.expect(200);
    assert_eq!((&disabled["role"], &disabled["disabled"]), (&"auditor".into(), &true.into()), "{disabled}");
    let moved = app.patch(&path, &json!({"role": "user", "disabled": false})).await.expect(200);
    assert_eq!((&moved["role"], &moved["disabled"]), (&"user".into(), &false.into()), "{moved}");
    app.anonymous().post("/api/v1/auth/login", &login(USER)).await.expect(200);
}

#[actix_rt::test]
async fn events_of_an_unknown_type_or_shape_block_neither_delivery_nor_counting() {
    let app = TestApp::start(&[]).await;
    let mut socket = app.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    for (kind, data) in [
        ("application.escalated.v9", "{\"anything\": [1.7976931348623157e308]}"),
        ("application.created.v1", "{}"),
        (
            "application.status_changed.v1",
            "{\"country\": \"FR\", \"status\": \"ON_HOLD\", \"version\": \"x\", \"created_by\": \"ana\"}",
        ),
        ("application.created.v1", "{\"country\": \"ES\", \"status\": \"PENDING\", \"created_by\": \"ana\"}"),
        ("application.created.v1", "[]"),
        (
            "application.status_changed.v1",
            "{\"country\": \"ES\", \"status\": \"ON_HOLD\", \"previous_status\": \"VALIDATING\", \"created_by\": \"ana\"}",
        ),
        (
            "application.status_changed.v1",
            "{\"country\": \"ES\", \"status\": 5, \"previous_status\": \"REJECTED\", \"created_by\": \"ana\"}",
        ),
    ] {
        app.execute(&format!(
            "INSERT INTO outbox (type, subject, data) VALUES ('{kind}', uuid_v7_now(), '{data}')"
        ))
        .await;
    }
    // An identifier of another UUID version contains no time, so the event belongs to no day.
    let data =
        "{\"country\": \"ES\", \"status\": \"PENDING\", \"created_by\": \"ana\", \"risk_score\": \"zz\"}";
    app.execute(&format!(
        "INSERT INTO outbox (type, subject, data) VALUES ('application.created.v1', 'ffffffff-ffff-4fff-bfff-ffffffffffff', '{data}')"
    ))
    .await;
    app.get("/api/v1/stats").await.expect(200);
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
    socket.updates_until(&id, "APPROVED").await;
    assert_eq!(app.get(&format!("/api/v1/applications/{id}")).await.expect(200)["status"], "APPROVED");
    crate::support::eventually("everything to be counted", async || {
        let counted =
            "SELECT (p.last_offset = s.last_offset)::text FROM outbox_position p, statistics_position s";
        (app.sql(counted).await == "true").then_some(())
    })
    .await;
    app.get("/api/v1/stats").await.expect(200);
    let decision = format!("/api/v1/applications/{id}/decision");
    app.get(&decision).await.expect(200);
    write(
        &app,
        &format!("UPDATE decisions SET rules = '[{{\"kind\": \"postpone\"}}]' WHERE application_id = '{id}'"),
    )
    .await;
    assert_eq!(app.get(&decision).await.expect(409)["code"], "unknown_label");
    let least = "SELECT min(applications)::text FROM application_counts";
    assert_eq!(app.sql(least).await, "0", "no event may be counted partially");
    assert!(app.metric("unknown_labels_total{table=\"outbox\"}").await >= 5.0);
}
