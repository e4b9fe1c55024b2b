//! Protection against services that fail or are slow: circuit breaker, bulkhead, retry budget, sliding window, retries.
//!
//! Everything here is independent of what it protects. Time is injected.

pub mod bulkhead;
pub mod circuit_breaker;
pub mod retry;
pub mod retry_budget;
mod sliding_window;
