//! `[server]` and `[faults]`: the HTTP server and fault injection.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;

use super::{Environment, require};
use crate::error::Result;

/// Address, limits and timeouts of the HTTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 for any free port.
    pub port: u16,
    /// The port for metrics and health without credentials; 0 for any free port. If unset, there is no such port.
    #[serde(default)]
    pub metrics_port: Option<u16>,
    /// The address of the metrics port. If unset, it is `host`.
    #[serde(default)]
    pub metrics_host: Option<IpAddr>,
    /// The number of worker threads; 0 for one per core.
    pub workers: usize,
    /// The maximum size of a request body.
    pub body_limit_bytes: usize,
    /// The maximum length of a request target (path and query).
    pub max_uri_bytes: usize,
    /// The maximum total size of a request's header fields.
    pub max_header_bytes: usize,
    /// The maximum time to respond to a request.
    pub request_timeout_ms: u64,
    /// The maximum wait for the head of a connection's first request.
    pub request_head_timeout_ms: u64,
    /// How long a connection may be open without a request in progress.
    pub keep_alive_ms: u64,
    /// The maximum duration of a graceful shutdown.
    pub shutdown_timeout_ms: u64,
    /// The maximum wait for each dependency in health checks.
    pub health_check_timeout_seconds: u64,
    /// How long the readiness check fails before the shutdown begins to stop the instance's parts.
    pub drain_delay_ms: u64,
    /// How long a TCP peer may leave data unacknowledged before its connection is closed.
    pub tcp_user_timeout_ms: u64,
    /// The maximum number of open connections.
    pub max_connections: usize,
    /// The maximum number of open connections per address; 0 for no limit.
    pub max_connections_per_address: usize,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a proxy in front of Aval terminates TLS.
    pub plaintext_behind_proxy: bool,
    /// Whether `GET /metrics` is served.
    pub metrics: bool,
    /// TLS terminated by Aval.
    pub tls: TlsSettings,
}

/// The server's certificate. Without a certificate, the server uses plain HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// A file with the certificate and the intermediates (PEM). If empty, the server uses plain HTTP.
    pub certificate_file: PathBuf,
    /// A file with the private key (PEM). If empty, the server uses plain HTTP.
    pub private_key_file: PathBuf,
    /// The oldest version of TLS that clients may use.
    pub min_version: TlsVersion,
    /// The interval at which the files are checked for a new certificate.
    pub reload_interval_ms: u64,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TryFrom<String> for TlsVersion {
    type Error = String;

    fn try_from(version: String) -> std::result::Result<Self, Self::Error> {
        match version.as_str() {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            _ => Err(format!("server.tls.min_version is {version:?} but must be \"1.2\" or \"1.3\"")),
        }
    }
}

impl TlsSettings {
    /// Whether the server uses TLS.
    pub fn is_on(&self) -> bool {
        !self.certificate_file.as_os_str().is_empty()
    }

    pub(crate) fn reload_interval(&self) -> Duration {
        Duration::from_millis(self.reload_interval_ms)
    }
}

impl ServerSettings {
    /// The URL of the instance that this configuration starts, for commands on the same machine.
    pub fn local_url(&self) -> String {
        let scheme = if self.tls.is_on() { "https" } else { "http" };
        let host = match self.host {
            host if host.is_unspecified() => "localhost".to_owned(),
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        format!("{scheme}://{host}:{}", self.port)
    }

    /// In production, requires TLS if other machines can connect, and narrow proxy networks. In development, an address that
    /// other machines can reach requires an explicit `AVAL_ENV` (`is_named`).
    pub(super) fn validate_for(&self, environment: Environment, is_named: bool) -> Result<()> {
        if !environment.is_production() {
            return require(
                is_named || self.host.is_loopback(),
                "server.host",
                "is reachable from other machines, but AVAL_ENV is not set: set AVAL_ENV=production, or AVAL_ENV=development \
                 to expose the development settings",
            );
        }
        require(
            self.host.is_loopback() || self.tls.is_on() || self.plaintext_behind_proxy,
            "server.host",
            "is reachable from other machines: set server.tls, or server.plaintext_behind_proxy = true if a proxy \
             terminates TLS",
        )?;
        require(
            !is_too_broad(&self.trusted_proxies),
            "server.trusted_proxies",
            "includes networks so wide that clients in them could forge their address: list only the proxies' networks, \
             such as 10.0.3.0/24",
        )
    }

    pub(super) fn validate(&self) -> Result<()> {
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
        at_least(self.health_check_timeout_seconds, 1, "server.health_check_timeout_seconds")?;
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
            "needs both certificate_file and private_key_file, or neither",
        )
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn request_head_timeout(&self) -> Duration {
        Duration::from_millis(self.request_head_timeout_ms)
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }

    pub(crate) fn health_check_timeout(&self) -> Duration {
        Duration::from_secs(self.health_check_timeout_seconds)
    }

    pub(crate) fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    /// Whether clients use TLS, terminated by Aval or by a proxy.
    pub fn is_reached_over_tls(&self) -> bool {
        self.tls.is_on() || self.plaintext_behind_proxy
    }
}

/// The minimum prefix length of a proxy network: 10.0.0.0/8 is an entire private network.
const WIDEST_IPV4: u8 = 8;
/// The minimum prefix length of a public IPv6 network. Private networks (fc00::/7) may be of any size.
const WIDEST_IPV6: u8 = 16;
/// The maximum number of IPv4 addresses in all networks together: one sixteenth of the address space.
const MAX_IPV4: u64 = 1 << 28;

/// Whether the networks are so wide that they would include clients.
fn is_too_broad(networks: &[IpNet]) -> bool {
    let ipv4 = |network: &IpNet| match network {
        IpNet::V4(network) => Some(*network),
        // Addresses in ::ffff:0:0/96 are IPv4 addresses.
        IpNet::V6(network) => {
            let length = network.prefix_len().checked_sub(96)?;
            Ipv4Net::new(network.addr().to_ipv4_mapped()?, length).ok()
        }
    };
    let of_ipv4: Vec<Ipv4Net> = Ipv4Net::aggregate(&networks.iter().filter_map(ipv4).collect());
    let addresses = of_ipv4.iter().map(|network| 1_u64 << (32 - network.prefix_len())).sum::<u64>();
    let too_wide_ipv6 = networks.iter().any(|network| match network {
        IpNet::V4(_) => false,
        IpNet::V6(network) => {
            let is_private = network.prefix_len() >= 7 && network.addr().is_unique_local();
            network.prefix_len() < WIDEST_IPV6 && !is_private
        }
    });
    too_wide_ipv6 || addresses > MAX_IPV4 || of_ipv4.iter().any(|network| network.prefix_len() < WIDEST_IPV4)
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
/// Fault injection.
pub struct FaultSettings {
    /// Whether `POST /api/v1/test/inject-failure` is enabled.
    pub injection: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_wide_enough_for_clients_are_too_broad() {
        let halves: Vec<String> = (0..=255).step_by(2).map(|first| format!("{first}.0.0.0/8")).collect();
        let halves: Vec<&str> = halves.iter().map(String::as_str).collect();
        for (networks, expected) in [
            (&["0.0.0.0/0"][..], true),
            (&["::/0"], true),
            (&["0.0.0.0/1", "128.0.0.0/1"], true),
            (&["10.0.0.0/8", "0.0.0.0/0"], true),
            (&["0.0.0.0/4"], true),
            (&halves, true),
            (&["2000::/3"], true),
            (&["::/8"], true),
            (&["::ffff:0:0/96"], true),
            (&["::ffff:0.0.0.0/97"], true),
            (
                &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "127.0.0.1/32", "::1/128"],
                false,
            ),
            (&["2400:cb00::/32", "104.16.0.0/13", "fd00::/8", "::ffff:10.0.0.0/104"], false),
            (&[], false),
        ] {
            let parsed: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
            assert_eq!(is_too_broad(&parsed), expected, "{networks:?}");
        }
    }
}
