//! `[server]` and `[faults]`.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// The HTTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Worker threads; 0 is one for each core.
    pub workers: usize,
    /// Largest accepted body.
    pub body_limit_bytes: usize,
    /// Longest time for one request.
    pub request_timeout_ms: u64,
    /// Deadline of a graceful shutdown.
    pub shutdown_timeout_ms: u64,
    /// When a silent TCP peer is given up.
    pub tcp_user_timeout_ms: u64,
}

impl ServerSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(
            self.host.is_loopback(),
            "server.host",
            "must be a loopback address: nothing guards the API yet",
        )?;
        require(self.body_limit_bytes >= 1024, "server.body_limit_bytes", "must be at least 1024")?;
        require(self.request_timeout_ms >= 100, "server.request_timeout_ms", "must be at least 100")?;
        require(self.tcp_user_timeout_ms >= 1000, "server.tcp_user_timeout_ms", "must be at least 1000")
    }

    /// Longest time for one request.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Deadline of a graceful shutdown.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }
}

/// Fault injection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSettings {
    /// Whether faults can be injected over the API.
    pub injection: bool,
}
