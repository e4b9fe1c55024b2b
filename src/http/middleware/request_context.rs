//! The request ID and the trace context in the headers of a request.

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::clock::Clock;
use crate::domain::ids::RequestId;

/// `X-Request-ID`
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The response header of W3C Trace Context Level 2.
pub(super) const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The client's request ID. A missing or invalid one is replaced by a generated one.
pub(super) fn request_id(headers: &HeaderMap, clock: &Clock) -> RequestId {
    let sent = text(headers, &X_REQUEST_ID).and_then(RequestId::parse);
    sent.unwrap_or_else(|| RequestId::from(clock.new_uuid()))
}

/// The client's trace context. It may be malformed.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    text(headers, &TRACEPARENT)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_valid_request_id_is_kept_and_an_invalid_one_is_replaced() {
        let read = |value: &str| {
            let request = TestRequest::default().insert_header(("x-request-id", value)).to_http_request();
            request_id(request.headers(), &Clock::system())
        };
        assert_eq!(read("client-7").as_str(), "client-7");
        for bad in ["", "a b", "é", &"x".repeat(129)] {
            assert_eq!(read(bad).as_str().len(), 36, "{bad:?}");
        }
    }
}
