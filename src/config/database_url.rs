//! Database URLs and their TLS settings.
//!
//! A database URL has libpq's syntax, as a URL or as `key=value` pairs, and libpq's parameters `sslmode` and `sslrootcert`
//! ("SSL Support" in the PostgreSQL manual). `prefer` (the default) encrypts if the server supports TLS, and `require`
//! always encrypts, but neither authenticates the server. `verify-ca` requires a certificate from a trusted authority, and
//! `verify-full` also a matching host name. Without `sslrootcert`, the public authorities are trusted. As in libpq,
//! `require` with `sslrootcert` means `verify-ca`.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::remote;
use crate::error::{Error, Result};

/// How the server is authenticated over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerVerification {
    /// Not at all: a man-in-the-middle attack is not detected.
    None,
    /// By a certificate from a trusted authority.
    Authority,
    /// By a certificate from a trusted authority for the host name.
    AuthorityAndName,
}

/// A parsed database URL.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// All parameters except TLS.
    pub config: Config,
    /// How the server is authenticated when the connection uses TLS.
    pub verification: ServerVerification,
    /// A file with the trusted authorities (PEM); `None` for the public ones.
    pub root_certificate_file: Option<PathBuf>,
}

/// Parameters that detect a server whose host has become unreachable (power failure, failover, dropped route). In
/// that case `statement_timeout` cannot end the statement, and TCP alone waits 15 minutes, or hours on an idle connection.
/// The parameters have no effect on Unix sockets. Parameters in the operator's URL take precedence.
const DEAD_PEER_PARAMETERS: [(&str, u32); 5] = [
    ("connect_timeout", 5),
    ("keepalives_idle", 5),
    ("keepalives_interval", 5),
    ("keepalives_retries", 2),
    ("tcp_user_timeout", 15),
];

impl DatabaseUrl {
    /// Parses a database URL.
    ///
    /// # Errors
    /// [`Error::Configuration`], which does not quote the URL, because it may contain a password.
    pub fn parse(text: &str) -> Result<Self> {
        let (rest, settings) = without_tls_settings(text);
        let mut config: Config = with_dead_peer_timeouts(&rest)
            .parse()
            .map_err(|error| Error::configuration(format_args!("invalid database URL: {error}")))?;
        if !config.get_hostaddrs().is_empty() {
            // tokio-postgres would connect to `hostaddr`, but Aval's checks use the host name.
            return Err(Error::configuration(
                "a database URL must not contain hostaddr: use the address as the host",
            ));
        }
        let value =
            |key: &str| settings.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let root_certificate_file =
            value("sslrootcert").filter(|path| !path.is_empty() && *path != "system").map(PathBuf::from);
        let (mode, verification) = match value("sslmode").unwrap_or("prefer") {
            "disable" => (SslMode::Disable, ServerVerification::None),
            "prefer" => (SslMode::Prefer, ServerVerification::None),
            "require" if root_certificate_file.is_none() => (SslMode::Require, ServerVerification::None),
            "require" | "verify-ca" => (SslMode::Require, ServerVerification::Authority),
            "verify-full" => (SslMode::Require, ServerVerification::AuthorityAndName),
            _ => {
                return Err(Error::configuration(
                    "sslmode in a database URL must be disable, prefer, require, verify-ca or verify-full",
                ));
            }
        };
        let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        // PostgreSQL does not support TLS on Unix sockets. Not requesting it saves a round trip.
        config.ssl_mode(if is_local { SslMode::Disable } else { mode });
        Ok(Self { config, verification, root_certificate_file })
    }

    /// Whether the connection may go unencrypted to another machine.
    pub fn may_be_unencrypted_to_remote(&self) -> bool {
        self.config.get_ssl_mode() != SslMode::Require && self.config.get_hosts().iter().any(is_remote)
    }
}

fn is_remote(host: &Host) -> bool {
    match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => remote::is_remote(name),
    }
}

/// Removes the TLS parameters that tokio-postgres does not support, or supports only in part, and returns them separately.
/// In `key=value` form, parameters written with spaces or quotes are not removed, so tokio-postgres rejects them.
fn without_tls_settings(text: &str) -> (String, Vec<(String, String)>) {
    let mut taken = Vec::new();
    let mut take = |pair: &&str| match pair.split_once('=') {
        Some((key @ ("sslmode" | "sslrootcert"), value)) => {
            taken.push((key.to_owned(), value.to_owned()));
            false
        }
        _ => true,
    };
    match (text.contains("://"), text.split_once('?')) {
        (true, Some((address, query))) => {
            let rest: Vec<_> = query.split('&').filter(&mut take).collect();
            let separator = if rest.is_empty() { "" } else { "?" };
            let decoded = taken.into_iter().map(|(key, value)| (key, percent_decoded(&value))).collect();
            (format!("{address}{separator}{}", rest.join("&")), decoded)
        }
        (true, None) => (text.to_owned(), taken),
        (false, _) => {
            let rest: Vec<_> = text.split(' ').filter(&mut take).collect();
            (rest.join(" "), taken)
        }
    }
}

/// Decodes a value in a URL's query (RFC 3986, section 2.1). Invalid escape sequences are kept.
fn percent_decoded(value: &str) -> String {
    let mut parts = value.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let escape =
            part.split_at_checked(2).and_then(|(hex, rest)| Some((u8::from_str_radix(hex, 16).ok()?, rest)));
        let (byte, rest) = escape.unwrap_or((b'%', part));
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Adds the [`DEAD_PEER_PARAMETERS`] that the URL does not set.
fn with_dead_peer_timeouts(url: &str) -> String {
    let is_url = url.contains("://");
    let mut url = url.to_owned();
    for (key, value) in DEAD_PEER_PARAMETERS {
        if url.contains(key) {
            continue;
        }
        let separator = match (is_url, url.contains('?')) {
            (true, false) => '?',
            (true, true) => '&',
            (false, _) => ' ',
        };
        url.push_str(&format!("{separator}{key}={value}"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_timeouts_are_added_to_urls_and_to_key_value_pairs() {
        let rest = "keepalives_idle=5&keepalives_interval=5&keepalives_retries=2&tcp_user_timeout=15";
        for (given, expected) in [
            ("postgres://db/aval", format!("postgres://db/aval?connect_timeout=5&{rest}")),
            ("postgres://db/aval?user=a", format!("postgres://db/aval?user=a&connect_timeout=5&{rest}")),
            ("postgres://db/aval?connect_timeout=1", format!("postgres://db/aval?connect_timeout=1&{rest}")),
            ("host=db", format!("host=db connect_timeout=5 {}", rest.replace('&', " "))),
        ] {
            assert_eq!(with_dead_peer_timeouts(given), expected);
        }
    }

    #[test]
    fn hostaddr_is_rejected() {
        for text in [
            "hostaddr=10.9.9.9 sslmode=verify-full",
            "host=localhost hostaddr=10.9.9.9",
            "postgres://db/aval?hostaddr=10.9.9.9",
        ] {
            assert!(DatabaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_sslmode_of_libpq_is_parsed_in_both_forms() {
        use ServerVerification::{Authority, AuthorityAndName, None};
        for (text, mode, verification, root) in [
            ("postgres://db/aval", SslMode::Prefer, None, Option::None),
            ("postgres://db/aval?sslmode=disable", SslMode::Disable, None, Option::None),
            ("postgres://db/aval?user=a&sslmode=require", SslMode::Require, None, Option::None),
            (
                "postgres://db?sslmode=require&sslrootcert=/a%20b.pem",
                SslMode::Require,
                Authority,
                Some("/a b.pem"),
            ),
            ("postgres://db?sslmode=verify-ca", SslMode::Require, Authority, Option::None),
            (
                "postgres://db?sslrootcert=system&sslmode=verify-full",
                SslMode::Require,
                AuthorityAndName,
                Option::None,
            ),
            (
                "host=db sslmode=verify-full sslrootcert=/ca.pem",
                SslMode::Require,
                AuthorityAndName,
                Some("/ca.pem"),
            ),
            ("postgres:///aval?host=/tmp/socket&sslmode=require", SslMode::Disable, None, Option::None),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!((url.config.get_ssl_mode(), url.verification), (mode, verification), "{text}");
            assert_eq!(url.root_certificate_file, root.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_without_quoting_it() {
        for text in
            ["postgres://u:hunter2@db?sslmode=sometimes", "host=db password=hunter2 sslmode = verify-full"]
        {
            let Err(error) = DatabaseUrl::parse(text) else { panic!("{text} must be refused") };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn only_unencrypted_connections_to_other_machines_are_detected() {
        for (text, expected) in [
            ("postgres://db.example/aval", true),
            ("postgres://10.0.0.5/aval?sslmode=disable", true),
            ("host=localhost,db.example", true),
            ("postgres://db.example/aval?sslmode=require", false),
            ("postgres://localhost/aval", false),
            ("postgres://127.0.0.1/aval?sslmode=disable", false),
            ("postgres://[::1]/aval", false),
            ("postgres:///aval?host=/run/postgresql", false),
        ] {
            assert_eq!(DatabaseUrl::parse(text).unwrap().may_be_unencrypted_to_remote(), expected, "{text}");
        }
    }
}
