//! The messages of the WebSocket in the AsyncAPI document. A test compares them with the messages of a running server.

use serde_json::{Value, json};

use crate::actors::broadcaster::Topic;
use crate::domain::account::Role;
use crate::domain::application::Country;
use crate::domain::status::Status;

/// The side that sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// A message with its key in the document.
pub(super) struct Message {
    pub(super) key: String,
    pub(super) sender: Sender,
    pub(super) object: Value,
}

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const EPOCH: &str = "0b0e9d4c-6a0d-4c41-8f5a-6a1f6f3b8a11";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// All messages. The key of a message from the server is its `type`; that of a message from a client is `client.` and
/// its `action`.
pub(super) fn messages() -> Vec<Message> {
    let mut messages = vec![
        from_server(
            "application_update",
            "An application changed.",
            &with_position(json!({"traceparent": traceparent(), "data": application()})),
            &["epoch", "offset", "data"],
            json!({"epoch": EPOCH, "offset": 42, "traceparent": TRACEPARENT, "data": {
                "id": ID, "country": "ES", "status": "APPROVED", "previous_status": "VALIDATING", "risk_score": "25.96",
                "updated_at": "2026-01-31T12:00:00.000000Z",
            }}),
        ),
        event_update(
            "review_update",
            "An application under review was assigned or released.",
            "review.assigned.v1",
        ),
        event_update("operations_update", "An event for admins.", "account.disabled.v1"),
        from_server(
            "subscribed",
            "The subscription is active. Every later event of the topic follows. `recovered` is only sent if the client \
             requested the events after a position: if it is false, some of them cannot be sent any more.",
            &with_position(with_topic(json!({"recovered": {"type": "boolean"}}))),
            &["epoch", "offset"],
            json!({"channel": "applications", "epoch": EPOCH, "offset": 42}),
        ),
        from_server(
            "unsubscribed",
            "The subscription has ended.",
            &with_topic(json!({})),
            &[],
            json!({"country": "ES"}),
        ),
        from_server(
            "error",
            "A message was rejected. The connection stays open.",
            &with_topic(json!({
                "code": {"type": "string", "description": "The stable error code"},
                "detail": {"type": "string", "description": "An explanation for developers"},
            })),
            &["code", "detail"],
            json!({"code": "unknown_action", "detail": "…"}),
        ),
        from_server("pong", "The response to `ping`.", &json!({}), &[], json!({})),
        from_server(
            "authenticated",
            "The connection is authenticated.",
            &json!({
                "account": {"type": "string", "description": "The name of the account"},
                "role": {"type": "string", "enum": Role::ALL},
                "valid_until": {
                    "type": ["string", "null"],
                    "format": "date-time",
                    "description": "When the credential expires; null if it does not expire",
                },
            }),
            &["account", "role", "valid_until"],
            json!({"account": "ana.lopez", "role": "analyst", "valid_until": "2026-01-31T12:15:00.000000Z"}),
        ),
    ];
    let position = json!({
        "epoch": {"type": "string", "format": "uuid", "description": "The epoch of the last update that the client received"},
        "offset": {"type": "integer", "description": "The offset of that update"},
    });
    messages.extend([
        from_client(
            "auth",
            "Authenticates the connection with an access token or an API key. Send one of them.",
            &json!({"token": {"type": "string"}, "api_key": {"type": "string"}}),
            json!({"token": "…"}),
        ),
        from_client(
            "subscribe",
            "Subscribes to a topic. With a position, the events after it are sent first.",
            &with_topic(position),
            json!({"channel": "applications", "epoch": EPOCH, "offset": 42}),
        ),
        from_client(
            "unsubscribe",
            "Ends a subscription.",
            &with_topic(json!({})),
            json!({"application_id": ID}),
        ),
        from_client("ping", "Requests a `pong`.", &json!({}), json!({})),
    ]);
    messages
}

fn application() -> Value {
    let properties = json!({
        "id": {"type": "string", "format": "uuid", "description": "The application"},
        "country": {"type": "string", "enum": Country::ALL},
        "status": {"type": "string", "enum": Status::ALL, "description": "The status after the change"},
        "previous_status": {
            "type": ["string", "null"],
            "enum": Status::ALL.into_iter().map(|status| json!(status)).chain([Value::Null]).collect::<Vec<_>>(),
            "description": "The status before the change; null for the creation",
        },
        "risk_score": {"type": ["string", "null"], "description": "The risk score of the last decision, with two decimal places"},
        "updated_at": {"type": "string", "format": "date-time", "description": "The time of the change"},
    });
    object(&properties, &["id", "country", "status", "previous_status", "risk_score", "updated_at"])
}

/// A message with an event and its published data.
fn event_update(name: &str, summary: &str, event_type: &str) -> Message {
    let properties = with_position(json!({
        "event_type": {"type": "string", "description": "The type of the event"},
        "time": {"type": "string", "format": "date-time", "description": "When the event was written"},
        "traceparent": traceparent(),
        "data": {"type": "object", "description": "The data of the event; see the channel `events`"},
    }));
    let example = json!({
        "epoch": EPOCH, "offset": 42, "event_type": event_type, "time": "2026-01-31T12:00:00.000000Z", "data": {},
    });
    from_server(name, summary, &properties, &["epoch", "offset", "event_type", "time", "data"], example)
}

fn traceparent() -> Value {
    json!({"type": "string", "description": "The trace context of the change, if it is known"})
}

fn with_position(properties: Value) -> Value {
    merged(
        json!({
            "epoch": {"type": "string", "format": "uuid", "description": "The sequence that the offset belongs to"},
            "offset": {"type": "integer", "description": "The offset in the sequence"},
        }),
        properties,
    )
}

/// The members that name a topic. A message has exactly one of them; an `error` may have none.
fn with_topic(properties: Value) -> Value {
    let channels = [Topic::ALL_CHANNEL, Topic::REVIEWS_CHANNEL, Topic::OPERATIONS_CHANNEL];
    merged(
        json!({
            "channel": {"type": "string", "enum": channels},
            "country": {"type": "string", "enum": Country::ALL},
            "application_id": {"type": "string", "format": "uuid"},
        }),
        properties,
    )
}

fn merged(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (first, _) => first,
    }
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn from_server(name: &str, summary: &str, properties: &Value, required: &[&str], example: Value) -> Message {
    let key = name.to_owned();
    Message {
        key,
        sender: Sender::Server,
        object: message("type", name, summary, properties, required, example),
    }
}

fn from_client(name: &str, summary: &str, properties: &Value, example: Value) -> Message {
    let key = format!("client.{name}");
    Message {
        key,
        sender: Sender::Client,
        object: message("action", name, summary, properties, &[], example),
    }
}

/// A message whose member `tag` has the value `name`.
fn message(
    tag: &str,
    name: &str,
    summary: &str,
    properties: &Value,
    required: &[&str],
    example: Value,
) -> Value {
    let properties = merged(json!({tag: {"type": "string", "enum": [name]}}), properties.clone());
    let required: Vec<&str> = std::iter::once(tag).chain(required.iter().copied()).collect();
    json!({
        "name": name,
        "title": name,
        "summary": summary,
        "payload": object(&properties, &required),
        "examples": [{"payload": merged(json!({tag: name}), example)}],
    })
}
