//! Integration tests: the real composition on a real PostgreSQL.

#[cfg(test)]
mod embedded;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod status_machine;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod support;
