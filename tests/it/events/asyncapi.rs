//! Compares the AsyncAPI document with the events and the WebSocket messages of a running server.

use std::collections::BTreeSet;
use std::time::Duration;

use aval::app::event_types;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::SPAIN;
use crate::support::accounts::ADMIN;
use crate::support::app::TestApp;
use crate::support::builders::{spanish, with};
use crate::support::contract::Contract;
use crate::support::eventually;

struct Document {
    json: Value,
    contract: Contract,
    /// The keys of the messages that were compared.
    compared: BTreeSet<String>,
}

impl Document {
    fn compare(&mut self, key: &str, message: &Value) {
        let payload = &self.json["components"]["messages"][key]["payload"];
        assert!(payload.is_object(), "{key} is not documented: {message}");
        let mismatches = self.contract.mismatches(payload, message);
        assert!(mismatches.is_empty(), "{key}: {mismatches:?}\n{message}");
        self.compared.insert(key.to_owned());
    }

    fn messages_of(&self, channel: &str) -> BTreeSet<String> {
        self.json["channels"][channel]["messages"].as_object().unwrap().keys().cloned().collect()
    }
}

async fn document(app: &TestApp) -> Document {
    let json = app.get("/asyncapi.json").await.expect(200);
    Document { json, contract: Contract::new(), compared: BTreeSet::new() }
}

#[actix_rt::test]
async fn the_asyncapi_document_lists_every_event_type_with_a_valid_example() {
    let app = TestApp::start_idle().await;
    let mut document = document(&app).await;
    let declared: BTreeSet<String> = event_types().iter().map(|declared| declared.name.to_owned()).collect();
    assert_eq!(document.messages_of("events"), declared);
    let messages = document.json["components"]["messages"].as_object().unwrap().clone();
    for (key, message) in &messages {
        document.compare(key, &message["examples"][0]["payload"]);
    }
    let both: BTreeSet<String> =
        document.messages_of("events").union(&document.messages_of("websocket")).cloned().collect();
    assert_eq!(document.compared, both);
}

#[actix_rt::test]
async fn the_asyncapi_document_describes_every_message_of_the_websocket_and_the_events_of_the_feed() {
    let app = TestApp::start(&[]).await;
    let mut document = document(&app).await;
    let token = app.engine().accounts.operator_token(ADMIN, Duration::from_secs(3600)).await.unwrap();
    let mut socket = app.unauthenticated_websocket("").await;
    for message in [
        json!({"action": "auth", "token": token.expose_secret()}),
        json!({"action": "ping"}),
        json!({"action": "subscribe", "channel": "applications"}),
        json!({"action": "subscribe", "channel": "reviews"}),
        json!({"action": "subscribe", "channel": "operations"}),
        json!({"action": "subscribe", "country": "ES"}),
        json!({"action": "unsubscribe", "country": "ES"}),
    ] {
        document.compare(&format!("client.{}", message["action"].as_str().unwrap()), &message);
        socket.send(&message).await;
        let response = socket.json().await;
        assert_ne!(response["type"], "error", "{response}");
        document.compare(response["type"].as_str().unwrap(), &response);
    }
    socket.send(&json!({"action": "dance"})).await;
    let refused = socket.json().await;
    assert_eq!(refused["type"], "error");
    document.compare("error", &refused);

    let id = app.submit(&with(spanish(), "requested_amount", "25000.00")).await;
    app.reaches(&id, "UNDER_REVIEW").await;
    app.put(&format!("/api/v1/applications/{id}/assignment"), &json!({})).await.expect(200);
    let end = app.engine().resources.clock.now() + chrono::TimeDelta::minutes(5);
    let force = json!({"mode": "forced_open", "reason": "Maintenance", "expires_at": end.to_rfc3339()});
    app.put(SPAIN, &force).await.expect(200);
    let expected = document.messages_of("websocket");
    while !expected.is_subset(&document.compared) {
        let update = socket.json().await;
        document.compare(update["type"].as_str().unwrap(), &update);
    }

    let overridden = "circuit.overridden.v1";
    let events = eventually("the events in the feed", async || {
        let page = app.get("/api/v1/events?limit=1000").await.expect(200);
        let events = page["events"].as_array().unwrap().clone();
        events.iter().any(|event| event["type"] == overridden).then_some(events)
    })
    .await;
    for event in &events {
        document.compare(event["type"].as_str().unwrap(), event);
    }
    for event_type in ["application.created.v1", "review.assigned.v1", overridden] {
        assert!(document.compared.contains(event_type), "{event_type}");
    }
}
