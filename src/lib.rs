//! Aval: a multi-country credit application platform in one binary.

pub mod actors;
pub mod cli;
pub mod clock;
pub mod config;
pub mod countries;
pub mod domain;
pub mod embedded;
pub mod error;
pub mod http;
pub mod providers;
pub mod storage;
pub mod telemetry;
