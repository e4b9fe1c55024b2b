//! One HTTP request to a rail, and what its result says about the payment.
//!
//! | the rail's response | result |
//! |---|---|
//! | 200 | the answer |
//! | 404 | not found |
//! | 400, 422 | refused |
//! | 429, 401, 403, no connection | not processed: the request had no effect |
//! | any other status, a broken connection, no response in time | unanswered: the request may have had an effect |

use std::time::Duration;

use awc::error::SendRequestError;
use awc::http::{Method, StatusCode, header};

use super::Message;
use crate::config::CallSettings;

/// A response that the rail meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Answer(String),
    NotFound,
    Refused(u16),
}

/// Why there is no answer. The causes are for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallFailure {
    /// The request had no effect.
    NotProcessed(String),
    /// The request may have had an effect.
    Unanswered(String),
}

/// Sends a request and reads the response within the call timeout.
pub(super) async fn send(
    settings: &CallSettings,
    url: &str,
    message: Option<&Message>,
) -> Result<Reply, CallFailure> {
    let limit = Duration::from_millis(settings.call_timeout_ms);
    let late = |_elapsed| Err(CallFailure::Unanswered(format!("no response within {limit:?}")));
    tokio::time::timeout(limit, exchange(settings, url, message)).await.unwrap_or_else(late)
}

async fn exchange(
    settings: &CallSettings,
    url: &str,
    message: Option<&Message>,
) -> Result<Reply, CallFailure> {
    let method = if message.is_some() { Method::POST } else { Method::GET };
    let request = client(settings).request(method, url).force_close().no_decompress();
    let sent = match message {
        Some(Message { content_type, body }) => {
            request.insert_header((header::CONTENT_TYPE, *content_type)).send_body(body.clone()).await
        }
        None => request.send().await,
    };
    let mut response = sent.map_err(|error| not_sent(&error))?;
    let status = response.status();
    if status != StatusCode::OK {
        return without_answer(status);
    }
    let body = response.body().limit(settings.max_body_bytes).await;
    let body = body.map_err(|error| CallFailure::Unanswered(error.to_string()))?;
    let text = String::from_utf8(body.to_vec());
    text.map(Reply::Answer).map_err(|_invalid| CallFailure::Unanswered("a body that is not UTF-8".to_owned()))
}

fn without_answer(status: StatusCode) -> Result<Reply, CallFailure> {
    match status {
        StatusCode::NOT_FOUND => Ok(Reply::NotFound),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(Reply::Refused(status.as_u16())),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(CallFailure::NotProcessed(format!("status {status}")))
        }
        _ => Err(CallFailure::Unanswered(format!("status {status}"))),
    }
}

fn not_sent(error: &SendRequestError) -> CallFailure {
    match error {
        SendRequestError::Connect(_) | SendRequestError::Url(_) => {
            CallFailure::NotProcessed(error.to_string())
        }
        _ => CallFailure::Unanswered(error.to_string()),
    }
}

/// A client without open connections: a request on a connection that the rail has just closed would be unanswered.
fn client(settings: &CallSettings) -> awc::Client {
    // awc's constructors use the process's crypto provider and panic without one, even for plain HTTP. An error means
    // that one is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connect = Duration::from_millis(settings.connect_timeout_ms);
    let connector = awc::Connector::new().timeout(connect).handshake_timeout(connect);
    awc::Client::builder().connector(connector).disable_timeout().disable_redirects().finish()
}
