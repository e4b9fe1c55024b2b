//! Distinguishes connections to this machine from connections to other machines.

use std::net::IpAddr;

/// Whether `host`, a name or an IP address, is another machine. Every name except `localhost` counts as another machine.
pub(super) fn is_remote(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => !address.to_canonical().is_loopback(),
        Err(_) => !bare.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether requests to `url` go unencrypted to another machine.
pub(super) fn is_unencrypted_to_remote(url: &str) -> bool {
    let uri = url.parse::<actix_web::http::Uri>();
    uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_none_or(is_remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unencrypted_urls_of_other_machines_are_detected() {
        for (url, expected) in [
            ("http://bureau.example", true),
            ("HTTP://bureau.example", true),
            ("http://10.0.0.5:8080/v1", true),
            ("http://localhost.example", true),
            ("http://127.0.0.1.example", true),
            ("http://0.0.0.0", true),
            ("http://[fe80::1]", true),
            ("https://bureau.example", false),
            ("http://localhost:8090", false),
            ("http://LOCALHOST", false),
            ("http://127.0.0.1/es", false),
            ("http://127.9.9.9", false),
            ("http://[::1]:8090", false),
            ("http://[::ffff:127.0.0.1]", false),
        ] {
            assert_eq!(is_unencrypted_to_remote(url), expected, "{url}");
        }
    }
}
