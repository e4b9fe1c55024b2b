//! The subcommands of the binary, one file each.

pub mod decide;
pub mod document;
mod lines;
