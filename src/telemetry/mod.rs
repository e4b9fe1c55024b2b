//! Logs and metrics, and colours of terminal output.

pub mod log;
pub mod metrics;
pub mod terminal;
