//! Countries: what they want, and what they would say.

pub(super) mod check_document;
pub(super) mod evaluate;
pub(super) mod get;
pub(super) mod list;
