//! Which URLs and addresses deliveries may be sent to.
//!
//! An admin chooses the URL of an endpoint, but must not reach services inside Aval's network with it (server-side request
//! forgery). [`Target::parse`] checks the text of the URL when it is stored and at every attempt. [`resolve`] checks the
//! addresses of the host at every attempt, after the name was resolved. The connection is then made to one of the checked
//! addresses, so a name that resolves to another address later has no effect. Redirects are never followed ([`send`]).
//!
//! An address is public if the IANA special-purpose registries do not reserve it. IPv6 addresses that contain an IPv4
//! address (mapped, NAT64, 6to4, Teredo) are not public, whatever they contain.
//!
//! [`send`]: super::send

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use awc::http::Uri;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::WebhookDeliverySettings;

/// IPv4 networks that are not public (IANA special-purpose address registry, multicast and reserved space).
const RESERVED_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    // Azure's platform services, which are reachable only from inside a virtual network.
    v4([168, 63, 129, 16], 32),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// The IPv6 global unicast addresses. All others are reserved, mapped, translated, local or multicast.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// Networks among the global unicast addresses that are not public: protocol assignments with Teredo, documentation, 6to4.
const RESERVED_V6: [Ipv6Net; 4] =
    [v6([0x2001, 0, 0], 23), v6([0x2001, 0xdb8, 0], 32), v6([0x2002, 0, 0], 16), v6([0x3fff, 0, 0], 20)];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c]: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// Whether an address belongs to the public Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !RESERVED_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !RESERVED_V6.iter().any(|network| network.contains(&address))
        }
    }
}

/// Why a URL is not allowed. The text completes a sentence that begins with the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForbiddenUrl {
    Malformed,
    Scheme,
    PlainHttp,
    UserInfo,
    Port,
    Host,
    Address,
}

impl ForbiddenUrl {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => {
                "must be an absolute URL of visible ASCII characters, such as https://example.com/hook"
            }
            Self::Scheme => "must begin with https:// or http://",
            Self::PlainHttp => "must begin with https://",
            Self::UserInfo => "must not contain a user name or password",
            Self::Port => "must not name a port below 1024 other than 80 and 443",
            Self::Host => "must name a host by its full domain name or by an address in the usual notation",
            Self::Address => "must not name an address that is not public",
        }
    }
}

/// The longest URL, in characters.
const MAX_URL_CHARS: usize = 2000;

/// Names that are never public, and the domains below them (RFC 6761, RFC 6762, RFC 8375, cloud metadata services).
const PRIVATE_NAMES: [&str; 7] =
    ["localhost", "local", "internal", "intranet", "home.arpa", "localdomain", "invalid"];

/// A URL that deliveries may be sent to, once its host was resolved and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub uri: Uri,
    /// The host without brackets and trailing dot.
    host: String,
    port: u16,
}

impl Target {
    /// Parses the URL of an endpoint.
    ///
    /// # Errors
    /// Why the URL is not allowed.
    pub fn parse(url: &str, settings: &WebhookDeliverySettings) -> Result<Self, ForbiddenUrl> {
        let is_plain = url.len() <= MAX_URL_CHARS && url.bytes().all(|byte| byte.is_ascii_graphic());
        let uri: Uri = url
            .parse()
            .ok()
            .filter(|_| is_plain && !url.contains(['\\', '#']))
            .ok_or(ForbiddenUrl::Malformed)?;
        let default_port = match uri.scheme_str() {
            Some("https") => 443,
            Some("http") if settings.require_https => return Err(ForbiddenUrl::PlainHttp),
            Some("http") => 80,
            _ => return Err(ForbiddenUrl::Scheme),
        };
        let authority = uri.authority().ok_or(ForbiddenUrl::Malformed)?.as_str();
        if authority.contains('@') {
            return Err(ForbiddenUrl::UserInfo);
        }
        let named_port = uri.port_u16();
        if named_port.is_none() && authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            return Err(ForbiddenUrl::Port);
        }
        let port = named_port.unwrap_or(default_port);
        if port < 1024 && ![80, 443].contains(&port) {
            return Err(ForbiddenUrl::Port);
        }
        let host = host(uri.host().unwrap_or_default()).ok_or(ForbiddenUrl::Host)?;
        if let Ok(address) = host.parse::<IpAddr>()
            && !is_allowed(address, &settings.allowed_networks)
        {
            return Err(ForbiddenUrl::Address);
        }
        Ok(Self { uri, host, port })
    }
}

/// The host in lower case, without brackets and trailing dot. `None` if it is neither an address in the usual notation nor
/// a full domain name outside [`PRIVATE_NAMES`].
///
/// The system's resolver accepts IPv4 addresses with fewer than four parts and with octal or hexadecimal parts. A name
/// whose last label is a number is therefore only accepted in the usual notation (as in the URL standard of WHATWG).
fn host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.parse::<Ipv4Addr>().is_ok() {
        return Some(name);
    }
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_allowed)
    };
    let last = name.rsplit('.').next()?;
    let is_number = last.starts_with(|c: char| c.is_ascii_digit());
    let is_private = PRIVATE_NAMES.iter().any(|private| {
        name == *private || name.strip_suffix(private).is_some_and(|rest| rest.ends_with('.'))
    });
    let is_full = name.contains('.') && name.len() <= 253 && name.split('.').all(is_label);
    (is_full && !is_number && !is_private).then_some(name)
}

fn is_allowed(address: IpAddr, allowed_networks: &[IpNet]) -> bool {
    is_public(address) || allowed_networks.iter().any(|network| network.contains(&address))
}

/// Resolves names of hosts.
pub trait Resolver {
    /// The addresses of `host`.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Why a host cannot be connected to.
#[derive(Debug)]
pub enum UnusableHost {
    /// The name cannot be resolved.
    Unresolved(io::Error),
    /// At least one of its addresses is not allowed.
    Forbidden,
}

/// Resolves the host of `target` and checks all its addresses. Returns the address to connect to.
///
/// # Errors
/// [`UnusableHost`]. A name with both public and other addresses is refused.
pub async fn resolve(
    target: &Target,
    resolver: &impl Resolver,
    allowed_networks: &[IpNet],
) -> Result<SocketAddr, UnusableHost> {
    let addresses = match target.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, target.port)],
        Err(_name) => {
            let found = resolver.resolve(&target.host, target.port).await;
            found.map_err(UnusableHost::Unresolved)?
        }
    };
    if !addresses.iter().all(|address| is_allowed(address.ip(), allowed_networks)) {
        return Err(UnusableHost::Forbidden);
    }
    // Many hosts have no IPv6 route, so an IPv4 address is preferred.
    let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let none = || UnusableHost::Unresolved(io::Error::other("the name has no address"));
    preferred.copied().ok_or_else(none)
}

#[cfg(test)]
mod tests;
