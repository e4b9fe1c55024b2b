//! `[websocket]`.

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Bounds of one WebSocket connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocketSettings {
    /// How often the server pings.
    pub ping_interval_ms: u64,
    /// How long a pong may take.
    pub pong_timeout_ms: u64,
    /// Longest message of a client.
    pub max_message_bytes: usize,
    /// Most messages of a client in a second.
    pub max_messages_per_second: u32,
    /// Most connections of one account.
    pub max_sockets_per_account: usize,
    /// How long a client may take to authenticate.
    pub auth_timeout_ms: u64,
    /// How often a client's account is looked at again.
    pub recheck_interval_ms: u64,
    /// Most subscriptions.
    pub max_subscriptions: usize,
    /// Waiting bytes above which updates of one application are merged.
    pub coalesce_above_bytes: usize,
    /// Waiting bytes above which the connection is closed.
    pub close_above_bytes: usize,
    /// Most events of one replay.
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
