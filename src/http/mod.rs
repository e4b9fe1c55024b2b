//! HTTP: what clients talk to.

pub mod ws;
