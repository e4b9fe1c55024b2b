//! `aval reencrypt`: seals personal data again after a change of keys, while Aval serves.

use std::io::Write;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use slog::Logger;

use super::lines::write_text;
use crate::app::reencrypt::{Progress, reencrypt};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, Result};

/// Seals with the first key of ENCRYPTION_KEY whatever another one sealed, and makes the blind index anew where it is
/// missing or of another INDEX_KEY. It runs beside serving instances, which must know the new key already, and may be
/// broken off and started again. A private database that is being served from is reached by DATABASE_URL, as its log tells.
#[derive(Debug, Args)]
pub struct ReencryptArgs {
    /// Rows that are locked and written together
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub batch: u16,
}

/// Runs the subcommand, with a progress bar when standard error is a terminal.
///
/// # Errors
/// When rows are left that are not sealed by the active key, and when the database or the configuration fails.
pub async fn run(
    args: ReencryptArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    let template = "[{bar:40}] {pos}/{len} rows, {per_sec}, {eta} left";
    let bar =
        ProgressBar::no_length().with_style(ProgressStyle::with_template(template).map_err(Error::internal)?);
    let on_progress = |progress| match progress {
        Progress::Found(rows) => bar.set_length(rows),
        Progress::Resealed(rows) => bar.inc(rows),
    };
    let resealed = reencrypt(settings, i64::from(args.batch), &clock, &logger, on_progress).await;
    bar.finish_and_clear();
    let line = format!("{} rows sealed again, 0 left with another key", resealed?);
    write_text(&mut output, &line).map(drop)
}
