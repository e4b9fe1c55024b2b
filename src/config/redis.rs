//! `[redis]`: the optional Redis that instances share.

use std::path::PathBuf;
use std::time::Duration;

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::remote::is_remote;
use super::{Environment, require};
use crate::error::{Error, Result};

/// Connection to Redis, and limits on its use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// The URL of Redis. If empty, Redis is not used.
    pub url: SecretString,
    /// A file with the trusted authorities (PEM). If empty, the public ones are trusted.
    pub root_certificate_file: PathBuf,
    /// The size of the connection pool.
    pub pool_size: u32,
    /// The maximum time to get a connection and receive a response.
    pub command_timeout_ms: u64,
    /// Consecutive failures that open the breaker.
    pub breaker_failures: u32,
    /// How long the breaker stays open before a probe.
    pub breaker_open_ms: u64,
    /// Prefix of every key.
    pub key_prefix: String,
    /// Approximate number of events kept in the stream.
    pub stream_max_events: u32,
}

impl RedisSettings {
    pub(crate) fn is_configured(&self) -> bool {
        !self.url.expose_secret().is_empty()
    }

    /// The parsed URL.
    ///
    /// # Errors
    /// [`Error::Configuration`], which does not quote the URL, because it may contain a password.
    pub fn connection_info(&self) -> Result<ConnectionInfo> {
        let info = self.url.expose_secret().into_connection_info();
        let info = info.map_err(|error| {
            Error::configuration(format_args!("redis.url (REDIS_URL) is not valid: {:?}", error.kind()))
        })?;
        match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => Err(Error::configuration(
                "redis.url (REDIS_URL) must not end in #insecure; set redis.root_certificate_file to the server's \
                 authorities",
            )),
            _ => Ok(info),
        }
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }

    pub(super) fn validate(&self, environment: Environment) -> Result<()> {
        if self.is_configured() {
            let info = self.connection_info()?;
            require(
                !environment.is_production() || !is_unencrypted_to_remote(info.addr()),
                "redis.url (REDIS_URL)",
                "would send data to another machine unencrypted: use rediss://",
            )?;
        }
        let prefix_fits = !self.key_prefix.is_empty()
            && self.key_prefix.len() <= 64
            && self.key_prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        require(prefix_fits, "redis.key_prefix", "must be 1 to 64 letters, digits, or one of - _ . :")?;
        require((1..=1000).contains(&self.pool_size), "redis.pool_size", "must be from 1 to 1000")?;
        require(
            (1..=10_000).contains(&self.command_timeout_ms),
            "redis.command_timeout_ms",
            "must be from 1 to 10000",
        )?;
        require(self.breaker_failures > 0, "redis.breaker_failures", "must be above 0")?;
        require(self.breaker_open_ms > 0, "redis.breaker_open_ms", "must be above 0")?;
        require(self.stream_max_events >= 1000, "redis.stream_max_events", "must be at least 1000")
    }
}

fn is_unencrypted_to_remote(address: &ConnectionAddr) -> bool {
    match address {
        ConnectionAddr::Tcp(host, _) => is_remote(host),
        ConnectionAddr::TcpTls { .. } | ConnectionAddr::Unix(_) => false,
        // Kinds of addresses unknown to this version may be unencrypted.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> ConnectionAddr {
        url.into_connection_info().unwrap().addr().clone()
    }

    #[test]
    fn only_unencrypted_connections_to_other_machines_are_detected() {
        for (url, expected) in [
            ("redis://cache.example:6379/0", true),
            ("redis://:secret@10.0.0.5", true),
            ("rediss://cache.example", false),
            ("redis://localhost", false),
            ("redis://127.0.0.1:7000", false),
            ("redis://[::1]:7000", false),
            ("redis+unix:///run/redis.sock", false),
            ("unix:///run/redis.sock", false),
        ] {
            assert_eq!(is_unencrypted_to_remote(&address(url)), expected, "{url}");
        }
    }
}
