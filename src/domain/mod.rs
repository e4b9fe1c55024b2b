//! The nouns of credit: pure types and the rules that hold between them.
//!
//! Nothing here knows of HTTP, SQL, actors, files or the clock. What decides anything is a pure function of its
//! arguments, so that a decision made years ago can be replayed from what was stored with it.
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

pub mod account;
pub mod application;
pub mod banking;
pub mod confirmation;
pub mod decision;
pub mod event;
pub mod ids;
pub mod json;
pub mod label;
pub mod members;
pub mod money;
pub mod personal_data;
pub mod published;
pub mod status;
pub mod timestamp;
