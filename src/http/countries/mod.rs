//! Endpoints for countries: their rules, document checks and trial evaluations.

pub mod case;
pub mod check_document;
pub mod evaluate;
pub mod get;
pub mod list;
