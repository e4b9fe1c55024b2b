//! The request ID and the trace context of a request.

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::clock::Clock;
use crate::domain::ids::RequestId;
use crate::http::extract::RequestContext;

/// `X-Request-ID`
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Reads the client's request ID and trace context. A missing or invalid request ID is replaced by a generated one.
pub(super) fn read(headers: &HeaderMap, clock: &Clock) -> RequestContext {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let sent = text(X_REQUEST_ID).and_then(RequestId::parse);
    RequestContext {
        request_id: sent.unwrap_or_else(|| RequestId::from(clock.new_uuid())),
        traceparent: text(TRACEPARENT).filter(|value| is_traceparent(value)).map(str::to_owned),
    }
}

/// W3C Trace Context, version 00: `00-<trace id>-<parent id>-<flags>` in lowercase hexadecimal, with neither ID all
/// zeros.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, length: usize| is_hex(part, length) && part.bytes().any(|b| b != b'0');
    match text.split('-').collect::<Vec<_>>().as_slice() {
        ["00", trace, parent, flags] => is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(name: &'static str, value: &str) -> RequestContext {
        let request = TestRequest::default().insert_header((name, value)).to_http_request();
        read(request.headers(), &Clock::system())
    }

    #[test]
    fn an_acceptable_identifier_is_kept_and_any_other_replaced() {
        assert_eq!(context("x-request-id", "client-7").request_id.as_str(), "client-7");
        for bad in ["", "a b", "é", &"x".repeat(129)] {
            assert_eq!(context("x-request-id", bad).request_id.as_str().len(), 36, "{bad:?}");
        }
    }

    #[test]
    fn a_trace_context_is_kept_only_when_it_is_valid() {
        let kept = context("traceparent", TRACE);
        assert_eq!(kept.traceparent.as_deref(), Some(TRACE));
        assert_eq!(kept.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            &TRACE.to_uppercase(),
            &TRACE.replacen("00-", "01-", 1),
            &format!("{TRACE}-more"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert_eq!(context("traceparent", bad).traceparent, None, "{bad:?}");
        }
    }
}
