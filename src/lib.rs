//! Aval: a multi-country credit application platform in one binary.

pub mod cli;
pub mod clock;
pub mod countries;
pub mod domain;
pub mod error;
pub mod providers;
