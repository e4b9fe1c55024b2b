//! The AsyncAPI document: every event type, and the messages of the WebSocket.
//!
//! The event types come from the registry, and the form of an event from the schema of the feed. Clients that generate
//! code from this document and from the OpenAPI document therefore get the same types.

mod websocket;

use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;

use self::websocket::Sender;
use super::events::feed::EventView;
use super::ws;
use crate::events::registry::{EventRegistry, EventType};

/// The channel of all events.
const EVENTS: &str = "events";
/// The channel of the WebSocket.
const WEBSOCKET: &str = "websocket";

/// The AsyncAPI 3.1 document of the events in `types` and of the WebSocket.
pub(super) fn document(types: &EventRegistry) -> Value {
    let events: Map<String, Value> =
        types.iter().map(|event_type| (event_type.name.to_owned(), event(event_type))).collect();
    let messages = websocket::messages();
    let of_sender = |sender| -> Vec<String> {
        messages
            .iter()
            .filter(|message| message.sender == sender)
            .map(|message| message.key.clone())
            .collect()
    };
    let (from_server, from_client) = (of_sender(Sender::Server), of_sender(Sender::Client));
    let frames: Map<String, Value> =
        messages.into_iter().map(|message| (message.key, message.object)).collect();
    let (event_names, frame_names) = (names(&events), names(&frames));
    json!({
        "asyncapi": "3.1.0",
        "info": {
            "title": "Aval events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Published events, and the WebSocket that reports changes to applications. Within a version of a \
                type, members are only added to the data. Readers must ignore unknown types and members.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "http": server("http", "The REST API. Behind a proxy that terminates TLS, the protocol is https."),
            "ws": server("ws", "The WebSocket. Behind a proxy that terminates TLS, the protocol is wss."),
        },
        "channels": {
            EVENTS: {
                "address": "/api/v1/events",
                "title": "Published events",
                "description": "All events in the order of one global sequence, in the form of CloudEvents 1.0. Clients \
                    read them page by page with GET /api/v1/events, as described in the OpenAPI document.",
                "servers": [{"$ref": "#/servers/http"}],
                "messages": references("#/components/messages", &event_names),
            },
            WEBSOCKET: {
                "address": ws::PATH,
                "title": "WebSocket",
                "description": "A client authenticates with a header, a ticket or the message `auth`, and subscribes to \
                    topics. It gets an update for each event of its topics.",
                "servers": [{"$ref": "#/servers/ws"}],
                "messages": references("#/components/messages", &frame_names),
                "bindings": {"ws": {"method": "GET"}},
            },
        },
        "operations": {
            "publishEvents": operation("send", EVENTS, "Aval publishes an event for every change.", &event_names),
            "sendFrames": operation(
                "send", WEBSOCKET, "Aval sends updates and responses.", &from_server,
            ),
            "receiveMessages": operation(
                "receive", WEBSOCKET, "Clients authenticate and subscribe.", &from_client,
            ),
        },
        "components": {"messages": events.into_iter().chain(frames).collect::<Map<String, Value>>()},
    })
}

fn names(messages: &Map<String, Value>) -> Vec<String> {
    messages.keys().cloned().collect()
}

fn server(protocol: &str, description: &str) -> Value {
    json!({
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": {"host": {"default": "localhost:8000", "description": "Host and port of the server"}},
    })
}

fn references(path: &str, names: &[String]) -> Value {
    names.iter().map(|name| (name.clone(), json!({"$ref": format!("{path}/{name}")}))).collect()
}

fn operation(action: &str, channel: &str, summary: &str, messages: &[String]) -> Value {
    let message = |name: &String| json!({"$ref": format!("#/channels/{channel}/messages/{name}")});
    json!({
        "action": action,
        "channel": {"$ref": format!("#/channels/{channel}")},
        "summary": summary,
        "messages": messages.iter().map(message).collect::<Vec<_>>(),
    })
}

/// The message of an event type: the schema of the feed with the schema of the data.
fn event(event_type: &EventType) -> Value {
    let mut payload = json!(EventView::schema());
    let mut data = json!((event_type.schema)());
    // The feed omits the name of the owner; webhook endpoints receive it.
    if let Some(required) = data.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|member| member != "created_by");
    }
    if let Some(properties) = payload.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("type".to_owned(), json!({"type": "string", "enum": [event_type.name]}));
        properties.insert("data".to_owned(), data);
    }
    let example = json!({
        "specversion": "1.0",
        "id": "01890a5d-ac96-774b-bcce-b302099a8059",
        "source": "/aval",
        "type": event_type.name,
        "subject": "01890a5d-ac96-774b-bcce-b302099a8057",
        "time": "2026-01-31T12:00:00.000000Z",
        "datacontenttype": "application/json",
        "epoch": "0b0e9d4c-6a0d-4c41-8f5a-6a1f6f3b8a11",
        "sequence": "42",
        "data": (event_type.example)(),
    });
    json!({
        "name": event_type.name,
        "title": event_type.name,
        "summary": event_type.description,
        "description": format!("Audience: {}.", event_type.audience.as_str()),
        "contentType": "application/cloudevents+json",
        "payload": payload,
        "examples": [{"payload": example}],
    })
}
