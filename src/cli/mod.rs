//! The subcommands of the `aval` binary, one file each.

pub mod provider_sim;
