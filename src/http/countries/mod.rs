//! Countries: what they want, and what they would say.

pub mod case;
pub mod check_document;
pub mod evaluate;
pub mod get;
pub mod list;
