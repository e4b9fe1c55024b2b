//! The `aval` binary.

use std::process::ExitCode;

use aval::cli::{self, Command};
use clap::Parser;

/// Multi-country credit application platform.
#[derive(Parser)]
#[command(name = "aval", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match cli::run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::explain(&error);
            ExitCode::FAILURE
        }
    }
}
