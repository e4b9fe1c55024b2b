//! The address of a database, and how it is reached: in clear text or over TLS.
//!
//! The text is what PostgreSQL's own programs take, a URL or `key=value` pairs, with their `sslmode` and `sslrootcert`
//! (PostgreSQL, "SSL Support" of libpq). `prefer`, the default, and `require` encrypt without knowing with whom; `verify-ca`
//! wants a certificate of the given authorities, `verify-full` also the right name in it. Without `sslrootcert` these are
//! the public authorities. As in libpq, `require` with `sslrootcert` is `verify-ca`.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::elsewhere;
use crate::error::{Error, Result};

/// What a TLS connection proves about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerVerification {
    /// Nothing: who listens in between is not noticed.
    None,
    /// That it has a certificate of a trusted authority.
    Authority,
    /// That the certificate is its own.
    AuthorityAndName,
}

/// A database's address.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// Everything but TLS.
    pub config: Config,
    /// What is asked of the server where TLS is spoken.
    pub proof: ServerVerification,
    /// The authorities, PEM; `None` for the public ones.
    pub root_certificate_file: Option<PathBuf>,
}

/// A server whose host vanished without a word (a power cut, a failover, a dropped route) answers nothing, and no
/// time-out of its own can end the statement: TCP alone would wait for a quarter of an hour, or for hours when it has
/// nothing to send. Over a Unix socket these mean nothing. What the operator's URL sets stands.
const DEAD_PEER_SECONDS: [(&str, u32); 4] =
    [("connect_timeout", 5), ("keepalives_idle", 10), ("keepalives_interval", 5), ("tcp_user_timeout", 20)];

impl DatabaseUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::Configuration`] that never repeats the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        let (rest, settings) = without_tls_settings(text);
        let mut config: Config = noticing_dead_peers(&rest).parse().map_err(|error| {
            Error::configuration(format_args!("the database's URL cannot be read: {error}"))
        })?;
        if !config.get_hostaddrs().is_empty() {
            // An address beside the name would be dialled without the checks that go by the name.
            return Err(Error::configuration(
                "a database's URL may not have hostaddr; give the address as host",
            ));
        }
        let value =
            |key: &str| settings.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let root_certificate_file =
            value("sslrootcert").filter(|path| !path.is_empty() && *path != "system").map(PathBuf::from);
        let (mode, proof) = match value("sslmode").unwrap_or("prefer") {
            "disable" => (SslMode::Disable, ServerVerification::None),
            "prefer" => (SslMode::Prefer, ServerVerification::None),
            "require" if root_certificate_file.is_none() => (SslMode::Require, ServerVerification::None),
            "require" | "verify-ca" => (SslMode::Require, ServerVerification::Authority),
            "verify-full" => (SslMode::Require, ServerVerification::AuthorityAndName),
            _ => {
                return Err(Error::configuration(
                    "sslmode of a database's URL must be disable, prefer, require, verify-ca or verify-full",
                ));
            }
        };
        let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        // PostgreSQL speaks no TLS on Unix sockets; not asking saves a round trip.
        config.ssl_mode(if is_local { SslMode::Disable } else { mode });
        Ok(Self { config, proof, root_certificate_file })
    }

    /// Whether everything that is sent can be read on the way to another machine.
    pub fn may_be_plaintext_to_elsewhere(&self) -> bool {
        self.config.get_ssl_mode() != SslMode::Require && self.config.get_hosts().iter().any(is_elsewhere)
    }
}

fn is_elsewhere(host: &Host) -> bool {
    match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => elsewhere::is_elsewhere(name),
    }
}

/// Takes out what tokio-postgres does not know, or knows less of. In `key=value` pairs, what is written with spaces or
/// quotes stays, and is refused there.
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

/// A value of a URL's query (RFC 3986, section 2.1); what is no valid escape stands for itself.
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

/// The URL, or the list of `key=value` pairs, with [`DEAD_PEER_SECONDS`].
fn noticing_dead_peers(url: &str) -> String {
    let is_url = url.contains("://");
    let mut url = url.to_owned();
    for (key, seconds) in DEAD_PEER_SECONDS {
        if url.contains(key) {
            continue;
        }
        let separator = match (is_url, url.contains('?')) {
            (true, false) => '?',
            (true, true) => '&',
            (false, _) => ' ',
        };
        url.push_str(&format!("{separator}{key}={seconds}"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_url_gets_what_it_does_not_set_itself() {
        let rest = "keepalives_idle=10&keepalives_interval=5&tcp_user_timeout=20";
        for (given, expected) in [
            ("postgres://db/aval", format!("postgres://db/aval?connect_timeout=5&{rest}")),
            ("postgres://db/aval?user=a", format!("postgres://db/aval?user=a&connect_timeout=5&{rest}")),
            ("postgres://db/aval?connect_timeout=1", format!("postgres://db/aval?connect_timeout=1&{rest}")),
            ("host=db", format!("host=db connect_timeout=5 {}", rest.replace('&', " "))),
        ] {
            assert_eq!(noticing_dead_peers(given), expected);
        }
    }

    #[test]
    fn an_address_beside_the_name_is_refused() {
        for text in [
            "hostaddr=10.9.9.9 sslmode=verify-full",
            "host=localhost hostaddr=10.9.9.9",
            "postgres://db/aval?hostaddr=10.9.9.9",
        ] {
            assert!(DatabaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_modes_of_libpq_are_understood_in_every_form() {
        use ServerVerification::{Authority, AuthorityAndName, None};
        for (text, mode, proof, root) in [
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
            assert_eq!((url.config.get_ssl_mode(), url.proof), (mode, proof), "{text}");
            assert_eq!(url.root_certificate_file, root.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for text in
            ["postgres://u:hunter2@db?sslmode=sometimes", "host=db password=hunter2 sslmode = verify-full"]
        {
            let Err(error) = DatabaseUrl::parse(text) else { panic!("{text} must be refused") };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn only_what_leaves_the_machine_in_the_clear_is_plaintext_to_elsewhere() {
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
            assert_eq!(DatabaseUrl::parse(text).unwrap().may_be_plaintext_to_elsewhere(), expected, "{text}");
        }
    }
}
