use std::cell::Cell;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::WebhookDeliverySettings;

fn settings() -> WebhookDeliverySettings {
    WebhookDeliverySettings {
        timeout_ms: 1000,
        pauses_ms: vec![1],
        max_in_flight: 1,
        max_in_flight_per_endpoint: 1,
        disable_after_hours: 1,
        secret_overlap_hours: 1,
        retention_days: 1,
        max_endpoints: 1,
        require_https: false,
        allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
    }
}

fn request() -> Request {
    Request {
        id: "msg_1".to_owned(),
        timestamp: 1_800_000_000,
        signature: "v1,abc".to_owned(),
        body: "{}".to_owned(),
    }
}

/// Resolves a name to the first address once, and to the second address from then on.
struct Rebinding {
    calls: Cell<usize>,
    addresses: [SocketAddr; 2],
}

impl Resolver for Rebinding {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let call = self.calls.get();
        self.calls.set(call + 1);
        Ok(vec![self.addresses[call.min(1)]])
    }
}

/// A server that gives every connection the same response and returns the requests it received.
async fn serve(address: &str, response: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let bound = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        while let Ok(Ok((mut stream, _))) =
            tokio::time::timeout(Duration::from_millis(600), listener.accept()).await
        {
            let mut received = vec![0; 4096];
            let length = stream.read(&mut received).await.unwrap_or(0);
            requests.push(String::from_utf8_lossy(&received[..length]).into_owned());
            let _ = stream.write_all(response).await;
        }
        requests
    });
    (bound, served)
}

async fn send_to(url: &str, resolver: &impl Resolver) -> Answer {
    let settings = settings();
    let target = Target::parse(url, &settings).unwrap();
    send(&target, &request(), resolver, &settings.allowed_networks, Duration::from_secs(2)).await
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[actix_rt::test]
async fn the_connection_goes_to_the_address_that_was_checked() {
    let (allowed, allowed_requests) = serve("127.0.0.1:0", OK).await;
    // The name changes to this address right after the check. A second resolution would connect to it.
    let (other, other_requests) = serve(&format!("127.0.0.2:{}", allowed.port()), OK).await;
    let resolver = Rebinding { calls: Cell::new(0), addresses: [allowed, other] };
    let url = format!("http://hooks.example.com:{}/hook?a=1", allowed.port());
    let answer = send_to(&url, &resolver).await;
    assert_eq!(
        answer,
        Answer { result: AttemptResult::Delivered, status: Some(200), response: b"ok".to_vec(), error: None }
    );
    assert_eq!(resolver.calls.get(), 1);
    // The next attempt resolves and checks again. The new address is not allowed.
    assert_eq!(send_to(&url, &resolver).await.result, AttemptResult::ForbiddenAddress);
    let requests = allowed_requests.await.unwrap();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{}", requests[0]);
    for line in [
        &format!("host: hooks.example.com:{}", allowed.port()),
        "webhook-id: msg_1",
        "webhook-timestamp: 1800000000",
        "webhook-signature: v1,abc",
        "content-type: application/json",
    ] {
        assert!(requests[0].contains(&format!("\r\n{line}\r\n")), "{line}: {}", requests[0]);
    }
    assert!(other_requests.await.unwrap().is_empty());
}

#[actix_rt::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, elsewhere_requests) = serve("127.0.0.1:0", OK).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
    );
    let (address, _requests) = serve("127.0.0.1:0", redirect.leak().as_bytes()).await;
    let resolver = Rebinding { calls: Cell::new(0), addresses: [address; 2] };
    let answer = send_to(&format!("http://{address}/"), &resolver).await;
    assert_eq!((answer.result, answer.status), (AttemptResult::Redirect, Some(307)));
    assert!(elsewhere_requests.await.unwrap().is_empty());
}

#[actix_rt::test]
async fn only_the_beginning_of_an_endless_response_is_read() {
    let head = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 999999999\r\n\r\n";
    let response = format!("{head}{}", "x".repeat(50_000));
    let (address, _requests) = serve("127.0.0.1:0", response.leak().as_bytes()).await;
    let resolver = Rebinding { calls: Cell::new(0), addresses: [address; 2] };
    let answer = send_to(&format!("http://{address}/"), &resolver).await;
    assert_eq!((answer.result, answer.status), (AttemptResult::Refused, Some(500)));
    assert_eq!(answer.response, vec![b'x'; RESPONSE_BYTES]);
}

#[actix_rt::test]
async fn failures_without_a_response_are_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let settings = settings();
    let target = Target::parse(&format!("http://{address}/"), &settings).unwrap();
    let resolver = Rebinding { calls: Cell::new(0), addresses: [address; 2] };
    let networks = &settings.allowed_networks;
    let answer = send(&target, &request(), &resolver, networks, Duration::from_millis(200)).await;
    assert_eq!(answer.result, AttemptResult::Timeout);
    drop(silent);
    let answer = send(&target, &request(), &resolver, networks, Duration::from_secs(2)).await;
    assert_eq!(answer.result, AttemptResult::Connect);
}

#[test]
fn every_status_has_a_meaning() {
    for (status, expected) in [
        (200, AttemptResult::Delivered),
        (204, AttemptResult::Delivered),
        (299, AttemptResult::Delivered),
        (301, AttemptResult::Redirect),
        (308, AttemptResult::Redirect),
        (400, AttemptResult::Refused),
        (404, AttemptResult::Refused),
        (410, AttemptResult::Gone),
        (429, AttemptResult::Refused),
        (500, AttemptResult::Refused),
        (599, AttemptResult::Refused),
    ] {
        assert_eq!(meaning(StatusCode::from_u16(status).unwrap()), expected, "{status}");
    }
}
