//! Events: which ones accounts, API keys and circuit breakers write, who gets them, and how consumers handle them.

mod asyncapi;
pub(crate) mod consumers;
mod dead_letters;
mod feed;
mod long_poll;
mod operators;
mod streams;
mod types;

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestSocket};

/// Settings for a breaker that opens at the first failure and soon allows a probe.
const SENSITIVE_BREAKER: [(&str, &str); 4] = [
    ("AVAL__PROVIDERS__ES__BREAKER__CONSECUTIVE_FAILURES", "1"),
    ("AVAL__PROVIDERS__ES__BREAKER__OPEN_MS", "200"),
    ("AVAL__PROVIDERS__ES__CALL__RETRIES", "0"),
    ("AVAL__WEBSOCKET__RECHECK_INTERVAL_MS", "50"),
];

const SPAIN: &str = "/api/v1/admin/circuits/es";

async fn socket_of(app: &TestApp, username: &str) -> TestSocket {
    let token = app.engine().accounts.operator_token(username, Duration::from_secs(3600)).await.unwrap();
    let mut socket = app.unauthenticated_websocket("").await;
    assert_eq!(socket.authenticate(token.expose_secret()).await["type"], "authenticated");
    socket
}

fn operations() -> Value {
    json!({"channel": "operations"})
}

/// The next update, which must be an operations update of this type.
async fn next(socket: &mut TestSocket, event_type: &str) -> Value {
    let update = socket.json().await;
    assert_eq!(
        (&update["type"], &update["event_type"]),
        (&json!("operations_update"), &json!(event_type)),
        "{update}"
    );
    update
}
