//! `aval reencrypt`: encrypts personal data again after a key change. Aval can keep running.

use std::io::Write;

use clap::Args;
use slog::Logger;

use super::lines::{write_line, write_text};
use super::progress;
use crate::app::reencrypt::{Progress, reencrypt};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;

/// Encrypts all personal data with the first key of ENCRYPTION_KEY, and rebuilds blind index entries that are missing
/// or use another INDEX_KEY. Other instances may keep running but must know the new key. The command can be interrupted
/// and repeated. If a running server uses the private PostgreSQL, set DATABASE_URL to the URL in the
/// server's log
#[derive(Debug, Args)]
pub struct ReencryptArgs {
    /// Rows per transaction
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub batch: u16,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand, with a progress bar if standard error is a terminal.
///
/// # Errors
/// Fails if rows remain that are not encrypted with the active key.
pub async fn run(
    args: ReencryptArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    let bar = progress::rows()?;
    let on_progress = |progress| match progress {
        Progress::Found(rows) => bar.set_length(rows),
        Progress::Resealed(rows) => bar.inc(rows),
    };
    let resealed = reencrypt(settings, i64::from(args.batch), &clock, &logger, on_progress).await;
    bar.finish_and_clear();
    let resealed = resealed?;
    if args.json {
        return write_line(
            &mut output,
            &serde_json::json!({"rows_encrypted_again": resealed, "rows_left": 0}),
        )
        .map(drop);
    }
    let line = format!("{resealed} rows re-encrypted, 0 left with another key");
    write_text(&mut output, &line).map(drop)
}
