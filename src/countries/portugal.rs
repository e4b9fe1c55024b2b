//! Portugal.
