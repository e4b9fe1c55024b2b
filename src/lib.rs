//! Aval: a multi-country credit application platform in one binary.

pub mod clock;
pub mod countries;
pub mod domain;
pub mod embedded;
pub mod error;
pub mod providers;
