//! Aval: a multi-country credit application platform in one binary.

pub mod actors;
pub mod app;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod countries;
pub mod domain;
pub mod embedded;
pub mod error;
pub mod http;
pub mod providers;
pub mod shutdown;
pub mod startup;
pub mod storage;
pub mod telemetry;
