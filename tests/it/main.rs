//! Integration tests.

mod embedded;
