//! Response headers for rate limits.
//!
//! `RateLimit-Policy` and `RateLimit` are structured field lists (RFC 9651) according to
//! draft-ietf-httpapi-ratelimit-headers-10. A policy has a name, the quota `q` and the window `w` in seconds.
//! `RateLimit` gives the remaining quota `r` and the time `t` in seconds until it is fully restored.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::LimitCheck;

/// The header that lists the limits that apply to the request.
pub(in crate::http) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The header that lists the remaining quota of each limit.
pub(in crate::http) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The results of all limits checked for one request, in order.
#[derive(Debug, Clone, Default)]
pub struct LimitChecks(Vec<LimitCheck>);

impl LimitChecks {
    /// Adds the result of another limit.
    pub fn add(&mut self, check: LimitCheck) {
        self.0.push(check);
    }

    /// Writes the headers, if any limit was checked.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        let policy = |check: &LimitCheck| {
            let limit = check.limit;
            let quota = limit.rate.burst.get();
            format!(r#""{}";q={quota};w={}"#, limit.name(), whole_seconds(limit.interval() * quota))
        };
        let state = |check: &LimitCheck| {
            let name = check.limit.name();
            format!(r#""{name}";r={};t={}"#, check.remaining, whole_seconds(check.restored_in()))
        };
        for (name, value) in [(RATE_LIMIT_POLICY, self.list(policy)), (RATE_LIMIT, self.list(state))] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }

    fn list(&self, item: impl Fn(&LimitCheck) -> String) -> String {
        self.0.iter().map(item).collect::<Vec<_>>().join(", ")
    }
}

/// Rounded up, so that a client does not retry too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
