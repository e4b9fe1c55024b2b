//! The credit domain as pure types and functions.
//!
//! This module does not depend on HTTP, SQL, actors, files or the clock. Decisions are pure functions of their
//! arguments, so they can be replayed years later from the stored input.
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

pub mod account;
pub mod application;
pub mod banking;
pub mod confirmation;
pub mod decision;
pub mod delivery;
pub mod disbursement;
pub mod event;
pub mod ids;
pub mod label;
pub mod money;
pub(crate) mod named;
pub mod per_country;
pub mod personal_data;
pub mod published;
pub mod status;
pub mod timestamp;
