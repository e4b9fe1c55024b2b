//! Compares the registry of event types with the written events and the documentation.

use std::collections::BTreeSet;

use actix_web::http::Method;
use aval::app::event_types;
use aval::domain::application::Country;
use aval::events::registry::EventType;
use serde_json::{Value, json};

use super::{SENSITIVE_BREAKER, SPAIN};
use crate::support::accounts::{ADMIN, OTHER, USER};
use crate::support::app::TestApp;
use crate::support::builders::{spanish, with};
use crate::support::contract::Contract;
use crate::support::eventually;

fn schema(event_type: &EventType) -> Value {
    serde_json::to_value((event_type.schema)()).unwrap()
}

#[test]
fn every_type_has_a_versioned_name_and_a_valid_example() {
    let contract = Contract::new();
    for event_type in event_types().iter() {
        let parts: Vec<&str> = event_type.name.split('.').collect();
        let [family, change, version] = parts[..] else { panic!("{}", event_type.name) };
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(is_word(family) && is_word(change), "{}", event_type.name);
        assert!(version.strip_prefix('v').unwrap().parse::<u32>().is_ok(), "{}", event_type.name);
        assert!(event_type.description.ends_with('.'), "{}", event_type.name);
        let mismatches = contract.mismatches(&schema(event_type), &(event_type.example)());
        assert!(mismatches.is_empty(), "{}: {mismatches:?}", event_type.name);
    }
}

#[test]
fn the_documentation_lists_every_type() {
    let documented = include_str!("../../../docs/events.md");
    let section = documented.split("\n## ").find(|section| section.starts_with("Types\n")).unwrap();
    let rows: BTreeSet<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let row = |event_type: &EventType| {
        let EventType { name, audience, description, .. } = event_type;
        format!("| `{name}` | {} | {description} |", audience.as_str())
    };
    let expected: Vec<String> = event_types().iter().map(row).collect();
    let expected_rows: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(rows, expected_rows, "the table should be:\n{}", expected.join("\n"));
}

#[actix_rt::test]
async fn every_outbox_row_matches_its_declared_type_and_every_type_is_written() {
    let app = TestApp::start(&SENSITIVE_BREAKER).await;
    app.simulator().script().fail_next(Country::Es, 1);
    let id = app.submit(&spanish()).await;
    eventually("a report", async || {
        (app.sql("SELECT string_agg(status::text, ' ') FROM applications").await == "APPROVED").then_some(())
    })
    .await;
    for change in ["banking_data = banking_data || '{\"x\": 1}'", "requested_amount = requested_amount + 1"] {
        app.execute(&format!("UPDATE applications SET {change} WHERE id = '{id}'")).await;
    }
    for deleted_at in ["now()", "NULL"] {
        app.execute(&format!("UPDATE applications SET deleted_at = {deleted_at} WHERE id = '{id}'")).await;
    }
    let destination = json!({"destination": {
        "kind": "iban", "value": "ES9121000418450200051332", "holder_name": "Ana García López",
    }});
    let headers = [("Idempotency-Key", "one"), ("Content-Type", "application/json")];
    let path = format!("/api/v1/applications/{id}/disbursements");
    app.admin().send(Method::POST, &path, &headers, destination.to_string()).await.expect(202);
    let reviewed = app.submit(&with(spanish(), "identity_document", "90000009C")).await;
    app.reaches(&reviewed, "UNDER_REVIEW").await;
    let assignment = format!("/api/v1/applications/{reviewed}/assignment");
    app.put(&assignment, &json!({})).await.expect(200);
    app.delete(&assignment).await.expect(204);
    let end = app.engine().resources.clock.now() + chrono::TimeDelta::minutes(5);
    let force = json!({"mode": "forced_closed", "reason": "Ana says so", "expires_at": end.to_rfc3339()});
    app.put(SPAIN, &force).await.expect(200);
    let password = format!("(SELECT password_hash || 'x' FROM users WHERE username = '{ADMIN}')");
    for statement in [
        format!("UPDATE users SET role = 'analyst', disabled_at = now() WHERE username = '{OTHER}'"),
        format!("UPDATE users SET disabled_at = NULL, password_hash = {password} WHERE username = '{OTHER}'"),
        format!("DELETE FROM users WHERE username = '{USER}'"),
    ] {
        app.execute(&statement).await;
    }
    let user = json!({"username": "new-colleague", "role": "analyst", "password": "a very long passphrase"});
    app.post("/api/v1/users", &user).await.expect(201);
    let key = json!({"name": "feed", "role": "user", "scopes": ["applications:read"], "expires_at": end.to_rfc3339()});
    app.post("/api/v1/api-keys", &key).await.expect(201);
    for statement in [
        "UPDATE api_keys SET role = 'analyst'",
        "UPDATE api_keys SET revoked_at = now()",
        "DELETE FROM api_keys",
    ] {
        app.execute(statement).await;
    }

    let endpoint = json!({"url": "https://example.com/", "event_types": ["circuit.opened.v1"]});
    let created = app.post("/api/v1/webhook-endpoints", &endpoint).await.expect(201);
    let endpoint = format!("/api/v1/webhook-endpoints/{}", created["id"].as_str().unwrap());
    app.post(&format!("{endpoint}/rotate-secret"), &json!({})).await.expect(200);
    for change in [json!({"description": "Core banking", "enabled": false}), json!({"enabled": true})] {
        app.patch(&endpoint, &change).await.expect(200);
    }
    app.delete(&endpoint).await.expect(204);

    for statement in [
        "INSERT INTO failed_jobs (job_id, task_name, job_args, error_type, error_message, attempts) \
            VALUES (gen_random_uuid(), 'toy', '{}', 'timeout', 'a test', 3)",
        "UPDATE failed_jobs SET status = 'reviewed'",
        "UPDATE failed_jobs SET status = 'reprocessed'",
        "UPDATE failed_jobs SET status = 'ignored'",
        "INSERT INTO deferred_events (consumer, event_id, subject, partition, event_offset, type, time, data) \
            VALUES ('webhook_deliveries', gen_random_uuid(), gen_random_uuid(), 0, 1, 'toy.made.v1', now(), '{}')",
        "UPDATE deferred_events SET dead_since = now()",
        "UPDATE deferred_events SET dead_since = NULL",
        "UPDATE deferred_events SET dead_since = now()",
    ] {
        app.execute(statement).await;
    }
    let skip = json!({"reason": "a test", "consumer": "webhook_deliveries"});
    app.post("/api/v1/admin/events/dead-letters/skip", &skip).await.expect(200);

    let written: BTreeSet<String> = eventually("every type to be written", async || {
        let types = app.sql("SELECT string_agg(DISTINCT type, ' ') FROM outbox").await;
        let written: BTreeSet<String> = types.split(' ').map(str::to_owned).collect();
        event_types().iter().all(|declared| written.contains(declared.name)).then_some(written)
    })
    .await;
    let declared: BTreeSet<String> = event_types().iter().map(|declared| declared.name.to_owned()).collect();
    assert_eq!(written, declared);
    let rows = app.sql("SELECT jsonb_agg(jsonb_build_array(type, data)) FROM outbox").await;
    let contract = Contract::new();
    for row in serde_json::from_str::<Vec<Value>>(&rows).unwrap() {
        let event_type = *event_types().find(row[0].as_str().unwrap()).unwrap();
        let mismatches = contract.mismatches(&schema(&event_type), &row[1]);
        assert!(mismatches.is_empty(), "{row}: {mismatches:?}");
    }
}
