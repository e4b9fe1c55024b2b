//! Protection against failing or slow services: circuit breaker, bulkhead, retry budget, sliding window, retries.
//!
//! Nothing here depends on the protected service. Time is injected.

pub mod bulkhead;
pub mod circuit_breaker;
pub mod retry;
pub mod retry_budget;
mod sliding_window;
