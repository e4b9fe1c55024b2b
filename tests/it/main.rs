//! Integration tests: the real composition on a real PostgreSQL.

#[cfg(test)]
mod embedded;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod support;
