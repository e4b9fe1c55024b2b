//! The actors: who owns what, and what happens when one dies.

pub mod circuit_breaker;
pub mod faults;
pub mod lifeline;
pub mod provider_gateway;
mod sliding_counts;
