//! `aval restore`: restores a backup into an empty data directory.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use slog::Logger;

use super::{backup, progress};
use crate::app::backup::restore;
use crate::config::Settings;
use crate::error::Result;

/// Restores a backup into the data directory (AVAL_DATA_DIR), which must be empty or missing. A damaged file is refused
/// before anything changes
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// File that `aval backup` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand, with progress if standard error is a terminal.
pub async fn run(
    args: RestoreArgs,
    settings: Settings,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    let bar = progress::time("restoring the database".to_owned())?;
    let restored = restore(&settings, &args.from, &logger).await;
    bar.finish_and_clear();
    backup::describe(&mut output, args.json, &args.from, &restored?, "restored")
}
