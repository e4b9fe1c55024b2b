//! The subcommands of the `aval` binary, one file each.

pub mod decide;
pub mod document;
mod lines;
pub mod provider_sim;
