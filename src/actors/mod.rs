//! The actors: who owns what, and what happens when one dies.

pub mod circuit_breaker;
pub mod faults;
pub mod lifeline;
mod sliding_counts;
