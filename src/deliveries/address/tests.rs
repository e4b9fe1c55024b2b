use super::*;

fn settings(require_https: bool, allowed: &[&str]) -> WebhookDeliverySettings {
    WebhookDeliverySettings {
        timeout_ms: 1000,
        pauses_ms: vec![1],
        max_in_flight: 1,
        max_in_flight_per_endpoint: 1,
        disable_after_hours: 1,
        secret_overlap_hours: 1,
        retention_days: 1,
        max_endpoints: 1,
        require_https,
        allowed_networks: allowed.iter().map(|network| network.parse().unwrap()).collect(),
    }
}

fn refusal(url: &str) -> Option<ForbiddenUrl> {
    Target::parse(url, &settings(false, &[])).err()
}

#[test]
fn every_reserved_address_is_refused() {
    for (address, what) in [
        ("0.0.0.0", "this host"),
        ("0.1.2.3", "this network"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.127.255.254", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "cloud metadata"),
        ("169.254.170.2", "container credentials"),
        ("168.63.129.16", "Azure platform"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "Oracle metadata"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarks"),
        ("203.0.113.9", "documentation"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "IPv4-mapped loopback"),
        ("::ffff:169.254.169.254", "IPv4-mapped metadata"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("64:ff9b::a9fe:a9fe", "NAT64 metadata"),
        ("64:ff9b:1::7f00:1", "local NAT64"),
        ("100::1", "discard"),
        ("2001::1", "Teredo"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::1", "6to4 loopback"),
        ("3fff::1", "documentation"),
        ("fc00::1", "unique local"),
        ("fd00:ec2::254", "cloud metadata"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ] {
        assert!(!is_public(address.parse().unwrap()), "{address} ({what})");
        let url =
            if address.contains(':') { format!("http://[{address}]/") } else { format!("http://{address}/") };
        assert_eq!(refusal(&url), Some(ForbiddenUrl::Address), "{url} ({what})");
    }
}

#[test]
fn public_addresses_are_accepted() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450::1",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn urls_that_disguise_their_host_are_refused() {
    use ForbiddenUrl::{Host, Malformed, Port, Scheme, UserInfo};
    for (url, why) in [
        // IPv4 addresses that only the system's resolver understands.
        ("http://2130706433/", Host),
        ("http://0x7f000001/", Host),
        ("http://0x7f.1/", Host),
        ("http://0177.0.0.1/", Host),
        ("http://127.1/", Host),
        ("http://127.0.0.1.1/", Host),
        ("http://0.0.0.0.0x1/", Host),
        // Names of this machine and of private networks.
        ("http://localhost/", Host),
        ("http://LOCALHOST/", Host),
        ("http://localhost./", Host),
        ("http://localhost../", Host),
        ("http://a.localhost/", Host),
        ("http://a.localhost./", Host),
        ("http://metadata.google.internal/", Host),
        ("http://METADATA.google.internal./", Host),
        ("http://printer.local/", Host),
        ("http://db.localdomain/", Host),
        ("http://intranet/", Host),
        ("http://ip6-localhost/", Host),
        // Characters that parsers disagree about.
        ("http://example.com\\@127.0.0.1/", Malformed),
        ("http://127.0.0.1 .example.com/", Malformed),
        ("http://127.0.0.1\t/", Malformed),
        ("http://example.com/#@127.0.0.1/", Malformed),
        ("http://ⓛocalhost/", Malformed),
        ("http://127。0。0。1/", Malformed),
        ("http://exa%6dple.com/", Malformed),
        ("http:///path", Malformed),
        ("", Malformed),
        ("example.com", Scheme),
        ("/hook", Scheme),
        ("//example.com/", Malformed),
        // A user name that looks like a host.
        ("http://example.com@127.0.0.1/", UserInfo),
        ("http://example.com:80@127.0.0.1/", UserInfo),
        ("https://user:password@example.com/", UserInfo),
        // Ports of other protocols.
        ("http://example.com:22/", Port),
        ("http://example.com:25/", Port),
        ("http://example.com:0/", Port),
        ("https://example.com:/", Port),
        ("https://example.com:99999/", Port),
        // Other schemes.
        ("ftp://example.com/", Scheme),
        ("file:///etc/passwd", Malformed),
        ("gopher://example.com:70/", Scheme),
    ] {
        let refused = refusal(url);
        assert!(refused.is_some(), "{url} is accepted");
        // Whether the parser of the library or Aval's own check refuses a malformed host is not important.
        if why != Malformed && why != Port {
            assert_eq!(refused, Some(why), "{url}");
        }
    }
}

#[test]
fn a_trailing_dot_does_not_disguise_an_address() {
    assert_eq!(refusal("http://127.0.0.1./"), Some(ForbiddenUrl::Address));
    assert_eq!(refusal("http://10.0.0.1./"), Some(ForbiddenUrl::Address));
}

#[test]
fn usual_urls_are_accepted() {
    for url in [
        "https://example.com",
        "https://example.com/hook?tenant=7",
        "https://example.com:8443/hook",
        "https://hooks.example.co.uk./a",
        "https://8.8.8.8/hook",
        "https://[2606:4700:4700::1111]:443/hook",
        "http://example.com/",
    ] {
        assert_eq!(refusal(url), None, "{url}");
    }
}

#[test]
fn plain_http_and_private_networks_depend_on_the_configuration() {
    assert_eq!(
        Target::parse("http://example.com/", &settings(true, &[])).err(),
        Some(ForbiddenUrl::PlainHttp)
    );
    let allowed = settings(false, &["127.0.0.0/8", "fd00::/16"]);
    assert!(Target::parse("http://127.0.0.1:9000/hook", &allowed).is_ok());
    assert!(Target::parse("http://[fd00::1]:9000/hook", &allowed).is_ok());
    assert_eq!(Target::parse("http://10.0.0.1/", &allowed).err(), Some(ForbiddenUrl::Address));
}

/// A resolver that returns prepared addresses.
struct Scripted(Vec<&'static str>);

impl Resolver for Scripted {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port)).collect())
    }
}

#[actix_rt::test]
async fn a_name_is_refused_if_any_of_its_addresses_is_not_public() {
    let target = Target::parse("https://hooks.example.com/", &settings(true, &[])).unwrap();
    let outcome = async |addresses: &[&'static str], allowed: &[&str]| {
        let allowed: Vec<IpNet> = allowed.iter().map(|network| network.parse().unwrap()).collect();
        resolve(&target, &Scripted(addresses.to_vec()), &allowed).await
    };
    for addresses in [
        &["127.0.0.1"][..],
        &["8.8.8.8", "10.0.0.1"],
        &["10.0.0.1", "8.8.8.8"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["fd00:ec2::254", "8.8.8.8"],
        &["169.254.169.254"],
    ] {
        assert!(matches!(outcome(addresses, &[]).await, Err(UnusableHost::Forbidden)), "{addresses:?}");
    }
    assert!(matches!(outcome(&[], &[]).await, Err(UnusableHost::Unresolved(_))));
    assert_eq!(outcome(&["2606:4700::1", "8.8.8.8"], &[]).await.unwrap().to_string(), "8.8.8.8:443");
    assert_eq!(outcome(&["127.0.0.1"], &["127.0.0.0/8"]).await.unwrap().to_string(), "127.0.0.1:443");
}
