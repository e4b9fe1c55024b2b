//! One HTTP request to a webhook endpoint.
//!
//! Every attempt opens its own connection, to the address that was checked for this attempt. Redirects are never followed,
//! and a response is read only as far as it is recorded.

use std::time::Duration;

use awc::ClientResponse;
use awc::error::{ConnectError, SendRequestError};
use awc::http::{StatusCode, Version, header};
use futures_util::{Stream, StreamExt as _};
use ipnet::IpNet;

use super::address::{Resolver, Target, UnusableHost, resolve};
use crate::domain::delivery::AttemptResult;

/// How much of a response body is recorded, in bytes.
pub const RESPONSE_BYTES: usize = 1024;

/// A signed delivery.
#[derive(Debug, Clone)]
pub struct Request {
    /// The identifier of the event.
    pub id: String,
    pub timestamp: i64,
    /// The value of `webhook-signature`.
    pub signature: String,
    pub body: String,
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub result: AttemptResult,
    pub status: Option<u16>,
    /// The beginning of the body, at most [`RESPONSE_BYTES`].
    pub response: Vec<u8>,
    /// Why there was no response.
    pub error: Option<String>,
}

impl Answer {
    /// An attempt without a response.
    pub fn failed(result: AttemptResult, error: impl Into<String>) -> Self {
        Self { result, status: None, response: Vec::new(), error: Some(error.into()) }
    }
}

/// Sends a delivery within `timeout`.
pub async fn send(
    target: &Target,
    request: &Request,
    resolver: &impl Resolver,
    allowed_networks: &[IpNet],
    timeout: Duration,
) -> Answer {
    let exchange = async {
        let address = match resolve(target, resolver, allowed_networks).await {
            Ok(address) => address,
            Err(UnusableHost::Unresolved(error)) => {
                return Answer::failed(AttemptResult::Unresolved, error.to_string());
            }
            Err(UnusableHost::Forbidden) => {
                let text = "the host has an address that is not public";
                return Answer::failed(AttemptResult::ForbiddenAddress, text);
            }
        };
        let sent = client(timeout)
            .post(&target.uri)
            .address(address)
            .force_close()
            .no_decompress()
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header((header::USER_AGENT, concat!("Aval/", env!("CARGO_PKG_VERSION"))))
            .insert_header(("webhook-id", request.id.as_str()))
            .insert_header(("webhook-timestamp", request.timestamp.to_string()))
            .insert_header(("webhook-signature", request.signature.as_str()))
            .send_body(request.body.clone());
        match sent.await {
            Ok(response) => read(response).await,
            Err(error) => not_sent(&error),
        }
    };
    let late = |_elapsed| Answer::failed(AttemptResult::Timeout, format!("no response within {timeout:?}"));
    tokio::time::timeout(timeout, exchange).await.unwrap_or_else(late)
}

/// A client without open connections.
fn client(timeout: Duration) -> awc::Client {
    // awc's constructors use the process's crypto provider and panic without one, even for plain HTTP. An error means
    // that one is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connector =
        awc::Connector::new().timeout(timeout).handshake_timeout(timeout).max_http_version(Version::HTTP_11);
    awc::Client::builder().connector(connector).disable_timeout().disable_redirects().finish()
}

async fn read<S>(mut response: ClientResponse<S>) -> Answer
where
    S: Stream<Item = Result<bytes::Bytes, awc::error::PayloadError>> + Unpin,
{
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < RESPONSE_BYTES
        && let Some(Ok(chunk)) = response.next().await
    {
        body.extend(chunk.iter().take(RESPONSE_BYTES - body.len()));
    }
    Answer { result: meaning(status), status: Some(status.as_u16()), response: body, error: None }
}

fn meaning(status: StatusCode) -> AttemptResult {
    match status {
        StatusCode::GONE => AttemptResult::Gone,
        _ if status.is_success() => AttemptResult::Delivered,
        _ if status.is_redirection() => AttemptResult::Redirect,
        _ => AttemptResult::Refused,
    }
}

fn not_sent(error: &SendRequestError) -> Answer {
    let result = match error {
        SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) => {
            AttemptResult::Timeout
        }
        _ => AttemptResult::Connect,
    };
    Answer::failed(result, error.to_string())
}

#[cfg(test)]
mod tests;
