//! Determines the client address of a request.
//!
//! By default, the client is the peer of the connection. If the peer is a configured proxy, `X-Forwarded-For` is read
//! from the right, because each proxy appends the address that it received the request from. The first address that is
//! not a trusted proxy is the client; entries to the left of it can be forged and are ignored. `Forwarded` (RFC 7239)
//! is not read: a proxy that appends to one of the two headers passes the other through unchanged, which would let
//! clients forge their address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Maximum number of entries read; real proxy chains are shorter.
const MAX_HOPS: usize = 32;

/// The prefix of an IPv6 address that identifies a customer's network. Customers choose the remaining bits freely (RFC
/// 6177).
const IPV6_NETWORK_BITS: u32 = 64;

/// The address of a client. IPv4-mapped IPv6 addresses are converted to IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Normalizes `address`: an IPv4-mapped IPv6 address becomes IPv4.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The client of a request. Only requests in tests have no peer address.
    pub fn of(request: &HttpRequest, trusted_proxies: &[IpNet]) -> Self {
        let peer = request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
        Self::resolve(peer, request.headers(), trusted_proxies)
    }

    /// Walks back from the peer through the trusted proxies.
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> Self {
        let mut client = Self::new(peer);
        let values: Vec<_> = headers.get_all(X_FORWARDED_FOR).collect();
        let entries = values.iter().rev().flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for entry in entries.take(MAX_HOPS) {
            if !client.is_in(trusted_proxies) {
                break;
            }
            let Some(before) = parse(entry.trim()) else { break };
            client = Self::new(before);
        }
        client
    }

    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// Whether the address is in one of the networks.
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        networks.iter().any(|network| network.contains(&self.0))
    }

    /// The address that rate limits count: the IPv4 address, or the network of the IPv6 address, because a customer can
    /// use all addresses of its network.
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let mask = u128::MAX << (u128::BITS - IPV6_NETWORK_BITS);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        }
    }
}

/// Parses an entry as proxies write it: an address, optionally with a port, in brackets or in quotes.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches('"');
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    const PROXY: &str = "10.0.0.1";

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
    }

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        ClientAddress::resolve(peer.parse().unwrap(), &headers, &trusted()).ip().to_string()
    }

    #[test]
    fn the_header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client("203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &[]), "203.0.113.9");
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        for (forwarded, expected) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9, 10.2.3.4"], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9", "10.2.3.4,fd00::1"], "203.0.113.9"),
            (&["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["\"[2001:db8::1]\""], "2001:db8::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            (&[], PROXY),
        ] {
            assert_eq!(client(PROXY, forwarded), expected, "{forwarded:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn an_invalid_entry_makes_the_proxy_that_appended_it_the_client() {
        for forwarded in ["", "unknown", "_hidden, ", "1.2.3.4.5", "for=1.2.3.4", "203.0.113.9, ?"] {
            assert_eq!(client(PROXY, &[forwarded]), PROXY, "{forwarded:?}");
        }
        assert_eq!(client(PROXY, &["garbage, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(PROXY, &["1.1.1.1, garbage, 10.7.7.7"]), "10.7.7.7");
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_client() {
        let network = |text: &str| ClientAddress::new(text.parse().unwrap()).network();
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn no_header_of_an_untrusted_peer_changes_the_client_address(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, value)]);
            let peer: IpAddr = "203.0.113.9".parse().unwrap();
            prop_assert_eq!(ClientAddress::resolve(peer, &headers, &trusted()).ip(), peer);
        }

        #[test]
        fn text_before_the_entry_of_a_trusted_proxy_is_ignored(garbage in "[ -~]{0,80}") {
            prop_assert_eq!(client(PROXY, &[&format!("{garbage},203.0.113.9")]), "203.0.113.9");
        }
    }
}
