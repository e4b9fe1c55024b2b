//! The actors: who owns what, and what happens when one dies.

pub mod faults;
pub mod lifeline;
