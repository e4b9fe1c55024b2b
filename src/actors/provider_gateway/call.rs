//! A single HTTP request to a bureau, and the meaning of its result (section 4 of docs/specification.md).
//!
//! | the bureau's response                        | result         | for the breaker | retried          |
//! |----------------------------------------------|----------------|-----------------|------------------|
//! | 200 with a report                            | the report     | success         |                  |
//! | 202 with a reference, in asynchronous mode   | accepted       | success         |                  |
//! | 404                                          | a thin file    | success         |                  |
//! | 429                                          | rate limited   | no result       | no               |
//! | 401, 403                                     | unauthorized   | failure, alert  | no               |
//! | any other 4xx                                | refused        | success         | no               |
//! | 5xx                                          | server error   | failure         | yes              |
//! | connection failed or broken                  | connect        | failure         | yes              |
//! | no response within the call timeout          | timeout        | failure         | yes              |
//! | an unreadable or oversized body, other codes | malformed      | failure         | yes              |
//!
//! Redirects are never followed, because requests contain personal data and only the configuration determines where
//! they are sent. A redirect is treated like any other unexpected status.

use std::time::Duration;

use awc::error::{PayloadError, SendRequestError};
use awc::http::StatusCode;
use awc::http::header::{self, HeaderMap, HeaderValue};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Endpoint, FetchBankingData};
use crate::config::{CallSettings, ProviderMode};
use crate::domain::banking::BankingData;
use crate::providers::retry_after;
use crate::providers::{BureauRequest, acceptance};
use crate::resilience::circuit_breaker::CallResult;
use crate::telemetry::labels::label_values;
use crate::telemetry::trace;

/// The result of an attempt.
#[derive(Debug)]
pub(super) enum BureauAnswer {
    Report(BankingData),
    /// The bureau will respond later, under this reference.
    Accepted {
        provider_reference: String,
    },
    /// The bureau has no record of the document.
    NotFound,
    /// The bureau's rate limit is exceeded; retry after this time.
    RateLimited {
        retry_after: Duration,
    },
    /// The bureau processed the request and rejected it.
    Refused {
        status: StatusCode,
    },
    /// The call failed.
    Failed(Failure),
}

/// A failure with its details, which are only logged and contain no personal data.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) cause: String,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    Timeout,
    Connect,
    ServerError,
    Unauthorized,
    Malformed,
}

impl FailureKind {
    /// The name in metrics, logs and errors.
    pub(super) const fn as_str(self) -> &'static str {
        self.status().as_str()
    }

    const fn status(self) -> CallStatus {
        match self {
            Self::Timeout => CallStatus::Timeout,
            Self::Connect => CallStatus::Connect,
            Self::ServerError => CallStatus::ServerError,
            Self::Unauthorized => CallStatus::Unauthorized,
            Self::Malformed => CallStatus::Malformed,
        }
    }

    /// Whether a retry may help. Rejected credentials stay rejected, and repeating them can lock the account.
    pub(super) const fn is_retryable(self) -> bool {
        match self {
            Self::Timeout | Self::Connect | Self::ServerError | Self::Malformed => true,
            Self::Unauthorized => false,
        }
    }
}

label_values! {
    /// The result of a call, the label `status` of `provider_calls_total`.
    pub enum CallStatus {
        Success = "success",
        Accepted = "accepted",
        NotFound = "not_found",
        RateLimited = "rate_limited",
        /// The bureau rejected the request.
        Refused = "refused",
        Timeout = "timeout",
        Connect = "connect",
        ServerError = "server_error",
        Unauthorized = "unauthorized",
        Malformed = "malformed",
        /// Not called: the circuit breaker is open.
        CircuitOpen = "circuit_open",
        /// Not called: too many calls are in flight and queued.
        BulkheadFull = "bulkhead_full",
    }
}

impl BureauAnswer {
    /// The `status` label of `provider_calls_total`.
    pub(super) const fn status(&self) -> CallStatus {
        match self {
            Self::Report(_) => CallStatus::Success,
            Self::Accepted { .. } => CallStatus::Accepted,
            Self::NotFound => CallStatus::NotFound,
            Self::RateLimited { .. } => CallStatus::RateLimited,
            Self::Refused { .. } => CallStatus::Refused,
            Self::Failed(failure) => failure.kind.status(),
        }
    }

    /// The result for the breaker, or `None` if the attempt does not show whether the bureau is available.
    pub(super) const fn result(&self) -> Option<CallResult> {
        match self {
            Self::Report(_) | Self::Accepted { .. } | Self::NotFound | Self::Refused { .. } => {
                Some(CallResult::Success)
            }
            Self::RateLimited { .. } => None,
            Self::Failed(_) => Some(CallResult::Failure),
        }
    }
}

/// The HTTP client of one country, with its own connections.
pub(super) fn client(settings: &CallSettings) -> awc::Client {
    // awc's constructors use the process's crypto provider and panic without one, even for plain HTTP. An error means
    // that one is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connector = awc::Connector::new()
        .timeout(settings.connect_timeout())
        .handshake_timeout(settings.connect_timeout())
        .limit(usize::try_from(settings.max_in_flight).unwrap_or(usize::MAX));
    awc::Client::builder().connector(connector).disable_timeout().disable_redirects().finish()
}

/// Sends one request. The call timeout covers everything from connecting to the end of the response.
pub(super) async fn send(
    client: &awc::Client,
    endpoint: &Endpoint,
    bureau_request: &BureauRequest,
    fetch: &FetchBankingData,
    now: DateTime<Utc>,
) -> BureauAnswer {
    let limit = endpoint.call.call_timeout();
    match tokio::time::timeout(limit, exchange(client, endpoint, bureau_request, fetch, now)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(failure)) => BureauAnswer::Failed(failure),
        Err(_elapsed) => failed(FailureKind::Timeout, format!("no response within {limit:?}")),
    }
}

/// Sends the request and reads the response, without a time limit.
async fn exchange(
    client: &awc::Client,
    endpoint: &Endpoint,
    bureau_request: &BureauRequest,
    fetch: &FetchBankingData,
    now: DateTime<Utc>,
) -> Result<BureauAnswer, Failure> {
    let mut request = client
        .post(format!("{}{}", endpoint.base_url, bureau_request.path))
        .insert_header((header::CONTENT_TYPE, bureau_request.content_type))
        .insert_header((header::ACCEPT, bureau_request.accept));
    if let Some(id) = &fetch.request_id {
        request = request.insert_header(("x-request-id", id.as_str()));
    }
    if let Some(trace) = trace::traceparent().and_then(|text| HeaderValue::from_str(&text).ok()) {
        request = request.insert_header(("traceparent", trace));
    }
    if endpoint.mode == ProviderMode::Async {
        request = request.insert_header(("x-application-id", fetch.application_id.to_string()));
    }
    let mut response =
        request.send_body(bureau_request.body.clone()).await.map_err(|error| not_sent(&error))?;
    let status = response.status();
    let is_accepted = status == StatusCode::ACCEPTED && endpoint.mode == ProviderMode::Async;
    if status != StatusCode::OK && !is_accepted {
        return Ok(without_report(status, response.headers(), now));
    }
    let body = response.body().limit(endpoint.call.max_body_bytes).await.map_err(|error| not_read(&error))?;
    if is_accepted { read_acceptance(&body, fetch) } else { read_report(endpoint, &body, fetch) }
}

/// Reads the reference in the body of a 202. References are stored in clear text, so a reference that contains the document is
/// rejected.
fn read_acceptance(body: &Bytes, fetch: &FetchBankingData) -> Result<BureauAnswer, Failure> {
    let malformed = |cause: String| Failure { kind: FailureKind::Malformed, cause };
    let provider_reference = acceptance::parse(body).map_err(|error| malformed(error.to_string()))?;
    if fetch.subject.identity_document.occurs_in(&provider_reference) {
        return Err(malformed("the reference contains the document".to_owned()));
    }
    Ok(BureauAnswer::Accepted { provider_reference })
}

/// Reads the report in the body of a 200.
fn read_report(endpoint: &Endpoint, body: &Bytes, fetch: &FetchBankingData) -> Result<BureauAnswer, Failure> {
    let report = endpoint.adapter.parse(body);
    report
        .map(|report| BureauAnswer::Report(report.without_document(&fetch.subject.identity_document)))
        .map_err(|error| Failure { kind: FailureKind::Malformed, cause: error.to_string() })
}

/// The meaning of a response with another status, whose body is not read.
fn without_report(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> BureauAnswer {
    match status {
        StatusCode::NOT_FOUND => BureauAnswer::NotFound,
        StatusCode::TOO_MANY_REQUESTS => {
            let value = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            BureauAnswer::RateLimited { retry_after: retry_after::delay(value, now) }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            failed(FailureKind::Unauthorized, format!("status {status}"))
        }
        _ if status.is_client_error() => BureauAnswer::Refused { status },
        _ if status.is_server_error() => failed(FailureKind::ServerError, format!("status {status}")),
        _ => failed(FailureKind::Malformed, format!("unexpected status {status}")),
    }
}

fn failed(kind: FailureKind, cause: String) -> BureauAnswer {
    BureauAnswer::Failed(Failure { kind, cause })
}

/// The failure of a request that got no response.
fn not_sent(error: &SendRequestError) -> Failure {
    let kind = match error {
        SendRequestError::Timeout => FailureKind::Timeout,
        SendRequestError::Response(_) => FailureKind::Malformed,
        _ => FailureKind::Connect,
    };
    Failure { kind, cause: error.to_string() }
}

/// The failure to read the body of a response.
fn not_read(error: &PayloadError) -> Failure {
    let kind = match error {
        PayloadError::Incomplete(_) | PayloadError::Io(_) | PayloadError::Http2Payload(_) => {
            FailureKind::Connect
        }
        _ => FailureKind::Malformed,
    };
    Failure { kind, cause: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_classified() {
        let meaning = |code: u16| {
            let status = StatusCode::from_u16(code).unwrap();
            let reply = without_report(status, &HeaderMap::new(), DateTime::UNIX_EPOCH);
            (reply.status().as_str(), reply.result())
        };
        let (success, failure) = (Some(CallResult::Success), Some(CallResult::Failure));
        for (code, expected) in [
            (202, ("malformed", failure)),
            (204, ("malformed", failure)),
            (302, ("malformed", failure)),
            (308, ("malformed", failure)),
            (400, ("refused", success)),
            (401, ("unauthorized", failure)),
            (403, ("unauthorized", failure)),
            (404, ("not_found", success)),
            (408, ("refused", success)),
            (422, ("refused", success)),
            (429, ("rate_limited", None)),
            (500, ("server_error", failure)),
            (503, ("server_error", failure)),
            (599, ("server_error", failure)),
        ] {
            assert_eq!(meaning(code), expected, "{code}");
        }
    }
}
