//! The `aval` binary.

fn main() {}
