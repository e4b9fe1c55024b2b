//! Countries: each file holds ALL of one country, its document, its rules and their tests.
//!
//! Adding a country touches its own file, [`Countries`] here, the enum migration, its thresholds file in
//! `config/countries/` and its provider adapter; the compiler finds every other place, because the registry is an
//! exhaustive match and [`CountryRules`] has no default methods.
//!
//! Everything here is a pure function of its arguments: the clock comes in as `as_of`, thresholds were read at
//! boot. Thresholds are data: the content hash of a country's rule pack is stored with every decision.
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

pub mod brazil;
pub mod colombia;
pub mod italy;
pub mod mexico;
pub mod portugal;
pub mod spain;
