//! Integration tests.

#[cfg(test)]
mod embedded;
#[cfg(test)]
mod realtime;
