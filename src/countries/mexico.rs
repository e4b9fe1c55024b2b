//! Mexico.
