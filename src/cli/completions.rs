//! `aval completions`: prints a completion script for a shell.

use std::io::Write;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;
use super::lines::write_text;
use crate::error::{Error, Result};

/// Prints a completion script. For bash: aval completions bash > ~/.local/share/bash-completion/completions/aval
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell that the script is for
    shell: Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs, mut output: impl Write) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "aval", &mut script);
    let script = String::from_utf8(script).map_err(Error::internal)?;
    write_text(&mut output, script.trim_end()).map(drop)
}
