//! Italy.
