//! Brazil.
