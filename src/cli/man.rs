//! `aval man`: writes the manual pages.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use super::Arguments;
use super::lines::write_text;
use crate::error::{Error, Result};

/// Writes a manual page for every subcommand.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory for the pages, such as /usr/local/share/man/man1; created if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the pages and prints their number.
///
/// # Errors
/// [`Error::Unavailable`] if the directory is not writable.
pub fn run(args: ManArgs, mut output: impl Write) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::unavailable("the directory", format!("{}: {error}", args.out.display()))
    };
    std::fs::create_dir_all(&args.out).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), &args.out).map_err(failed)?;
    let pages = std::fs::read_dir(&args.out).map_err(failed)?.count();
    write_text(&mut output, &format!("{pages} manual pages in {}", args.out.display())).map(drop)
}
