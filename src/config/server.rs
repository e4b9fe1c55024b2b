//! `[server]` and `[faults]`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Environment, require};
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
    /// Longest accepted target of a request.
    pub max_uri_bytes: usize,
    /// Most bytes of all header fields of a request.
    pub max_header_bytes: usize,
    /// Longest time for one request.
    pub request_timeout_ms: u64,
    /// Longest wait for the head of a connection's first request.
    pub request_head_timeout_ms: u64,
    /// How long a connection may be open without a request in it.
    pub keep_alive_ms: u64,
    /// Deadline of a graceful shutdown.
    pub shutdown_timeout_ms: u64,
    /// How long readiness fails before anything else is stopped.
    pub drain_delay_ms: u64,
    /// When a silent TCP peer is given up.
    pub tcp_user_timeout_ms: u64,
    /// Most open connections.
    pub max_connections: usize,
    /// Most open connections of one address; 0 is no limit.
    pub max_connections_per_address: usize,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a proxy in front speaks TLS for Aval.
    pub plaintext_behind_proxy: bool,
    /// TLS of its own.
    pub tls: TlsSettings,
}

/// The certificate that the server shows; without one it speaks plain HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate and its intermediates, PEM; empty for plain HTTP.
    pub certificate_file: PathBuf,
    /// The private key, PEM; empty for plain HTTP.
    pub private_key_file: PathBuf,
    /// How often the files are looked at for a new certificate.
    pub reload_interval_ms: u64,
}

impl TlsSettings {
    /// Whether the server speaks TLS.
    pub fn is_on(&self) -> bool {
        !self.certificate_file.as_os_str().is_empty()
    }

    /// How often the files are looked at.
    pub fn reload_interval(&self) -> Duration {
        Duration::from_millis(self.reload_interval_ms)
    }
}

impl ServerSettings {
    pub(super) fn validate(&self, environment: Environment) -> Result<()> {
        let at_least = |value: u64, least: u64, key: &str| {
            require(value >= least, key, &format!("must be at least {least}"))
        };
        let bytes = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        at_least(bytes(self.body_limit_bytes), 1024, "server.body_limit_bytes")?;
        at_least(bytes(self.max_uri_bytes), 1024, "server.max_uri_bytes")?;
        at_least(bytes(self.max_header_bytes), 4096, "server.max_header_bytes")?;
        at_least(self.request_timeout_ms, 100, "server.request_timeout_ms")?;
        at_least(self.request_head_timeout_ms, 100, "server.request_head_timeout_ms")?;
        at_least(self.keep_alive_ms, 100, "server.keep_alive_ms")?;
        at_least(self.tcp_user_timeout_ms, 1000, "server.tcp_user_timeout_ms")?;
        at_least(bytes(self.max_connections), 1, "server.max_connections")?;
        at_least(self.tls.reload_interval_ms, 10, "server.tls.reload_interval_ms")?;
        require(
            self.drain_delay_ms < self.shutdown_timeout_ms,
            "server.drain_delay_ms",
            "must be below server.shutdown_timeout_ms",
        )?;
        require(
            self.tls.is_on() != self.tls.private_key_file.as_os_str().is_empty(),
            "server.tls",
            "needs certificate_file and private_key_file, or neither",
        )?;
        require(
            environment == Environment::Development
                || self.host.is_loopback()
                || self.tls.is_on()
                || self.plaintext_behind_proxy,
            "server.host",
            "is reachable from other machines: set server.tls, or server.plaintext_behind_proxy = true when a proxy in \
             front speaks TLS",
        )
    }

    /// Longest time for one request.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Longest wait for the head of a connection's first request.
    pub fn request_head_timeout(&self) -> Duration {
        Duration::from_millis(self.request_head_timeout_ms)
    }

    /// How long a connection may be open without a request in it.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    /// Deadline of a graceful shutdown.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }

    /// How long readiness fails before anything else is stopped.
    pub fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    /// Whether clients reach Aval over TLS, its own or a proxy's.
    pub fn is_reached_over_tls(&self) -> bool {
        self.tls.is_on() || self.plaintext_behind_proxy
    }
}

/// Fault injection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSettings {
    /// Whether faults can be injected over the API.
    pub injection: bool,
}
