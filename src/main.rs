//! The `aval` binary.

use std::process::ExitCode;

use aval::cli::{self, Arguments, exit};
use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::explain(&error);
            ExitCode::from(exit::code(&error))
        }
    }
}
