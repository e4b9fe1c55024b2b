//! `aval disbursements`: rebuilds the projection of disbursements and audits pools and ledger.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use slog::Logger;

use super::lines::{write_line, write_text};
use crate::app::disbursements::{audit, rebuild};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, PublicMessage, Result};

/// Rebuilds disbursements from their events, and checks pools and ledger.
#[derive(Debug, Args)]
pub struct DisbursementsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compare every disbursement with its events, and replace those that differ
    Rebuild {
        /// Change nothing, only print how many differ
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check the rules about funding pools, ledger and disbursements. Fails if one is violated
    Check,
}

/// Runs the subcommand.
///
/// # Errors
/// [`Conflict`](Error::Conflict) if a rule is violated; the errors of the actions.
pub async fn run(
    args: DisbursementsArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    match args.action {
        Action::Rebuild { dry_run, json } => {
            let done = rebuild(&settings, !dry_run, &clock, &logger).await?;
            if json {
                let result =
                    json!({"compared": done.compared, "different": done.different, "dry_run": dry_run});
                return write_line(&mut output, &result).map(drop);
            }
            let what = if dry_run { "differ" } else { "differed and were replaced" };
            let line = format!("{} disbursements compared, {} {what}", done.compared, done.different);
            write_text(&mut output, &line).map(drop)
        }
        Action::Check => {
            let violations = audit(&settings, &clock, &logger).await?;
            for violation in &violations {
                write_text(&mut output, violation)?;
            }
            match violations.len() {
                0 => write_text(&mut output, "no rule is violated").map(drop),
                count => Err(Error::Conflict(PublicMessage::new(format!("{count} violations")))),
            }
        }
    }
}
