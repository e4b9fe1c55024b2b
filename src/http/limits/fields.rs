//! What the limits tell a client, as header fields.
//!
//! `RateLimit-Policy` and `RateLimit` are lists of structured fields (RFC 9651), after draft-ietf-httpapi-ratelimit-headers-10: each policy
//! by its name, with its quota `q` and the seconds `w` in which the quota is earned; and for each what remains, `r`, and
//! the seconds `t` until all of it is there again.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::LimitCheck;

/// `RateLimit-Policy`
pub(in crate::http) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// `RateLimit`
pub(in crate::http) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What all limits said to one request, in the order in which they were asked.
#[derive(Debug, Clone, Default)]
pub struct LimitChecks(Vec<LimitCheck>);

impl LimitChecks {
    /// Adds what another limit said.
    pub fn add(&mut self, verdict: LimitCheck) {
        self.0.push(verdict);
    }

    /// Writes the fields, when there is something to tell.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        let policy = |verdict: &LimitCheck| {
            let limit = verdict.limit;
            let quota = limit.rate.burst.get();
            format!(r#""{}";q={quota};w={}"#, limit.name(), whole_seconds(limit.interval() * quota))
        };
        let state = |verdict: &LimitCheck| {
            let name = verdict.limit.name();
            format!(r#""{name}";r={};t={}"#, verdict.remaining, whole_seconds(verdict.restored_in()))
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

/// Rounded up: nobody is sent back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
