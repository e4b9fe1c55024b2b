//! Integration tests.

#[cfg(test)]
mod embedded;
