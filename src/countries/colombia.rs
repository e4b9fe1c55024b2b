//! Colombia.
