//! `[websocket]`: limits on WebSocket connections.

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Limits and intervals of one WebSocket connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocketSettings {
    /// The interval of the server's pings.
    pub ping_interval_ms: u64,
    /// The maximum wait for a pong.
    pub pong_timeout_ms: u64,
    /// The maximum size of a message from a client.
    pub max_message_bytes: usize,
    /// The maximum number of messages and pings from a client per second.
    pub max_messages_per_second: u32,
    /// The maximum number of connections of one account per instance.
    pub max_sockets_per_account: usize,
    /// How long a client may take to authenticate.
    pub auth_timeout_ms: u64,
    /// The interval at which a connection's credential is checked again.
    pub recheck_interval_ms: u64,
    /// The maximum number of subscriptions of a connection.
    pub max_subscriptions: usize,
    /// The number of queued bytes above which only the latest update of each application is kept.
    pub coalesce_above_bytes: usize,
    /// The number of queued bytes above which the connection is closed.
    pub close_above_bytes: usize,
    /// The maximum number of events replayed to a reconnecting client.
    pub max_replay: u32,
}

impl WebSocketSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(self.ping_interval_ms >= 10, "websocket.ping_interval_ms", "must be at least 10")?;
        require(self.max_message_bytes >= 256, "websocket.max_message_bytes", "must be at least 256")?;
        require(
            self.max_messages_per_second >= 1,
            "websocket.max_messages_per_second",
            "must be at least 1",
        )?;
        require(
            self.max_sockets_per_account >= 1,
            "websocket.max_sockets_per_account",
            "must be at least 1",
        )?;
        require(self.auth_timeout_ms >= 100, "websocket.auth_timeout_ms", "must be at least 100")?;
        require(self.recheck_interval_ms >= 10, "websocket.recheck_interval_ms", "must be at least 10")?;
        require(self.max_subscriptions >= 1, "websocket.max_subscriptions", "must be at least 1")?;
        require(
            self.coalesce_above_bytes <= self.close_above_bytes,
            "websocket.coalesce_above_bytes",
            "must be at most websocket.close_above_bytes",
        )
    }
}
