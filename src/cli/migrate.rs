//! `aval migrate`: migrates the schema without starting the server, lists the migrations, or reverts the last ones.

use std::io::Write;

use clap::Args;
use slog::{Logger, info};
use tokio_util::sync::CancellationToken;

use super::lines::{write_line, write_text};
use crate::app::migrations::{self, MigrationState};
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::timestamp;
use crate::error::Result;
use crate::startup::{self, StartedDatabase};

/// Runs pending migrations and creates future partitions.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// List the migrations and change nothing
    #[arg(long)]
    status: bool,
    /// Revert the last N migrations and delete the data in the columns and tables that they added. Needs --yes
    #[arg(long, value_name = "N", conflicts_with = "status", value_parser = clap::value_parser!(u16).range(1..))]
    revert: Option<u16>,
    /// Confirm --revert
    #[arg(long, requires = "revert")]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub async fn run(
    args: MigrateArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    if let Some(count) = args.revert {
        let reverted = migrations::revert_last(&settings, count, args.yes, &logger).await?;
        if args.json {
            let answer = serde_json::json!({"reverted": reverted});
            return write_line(&mut output, &answer).map(drop);
        }
        return write_text(&mut output, &format!("reverted {}", reverted.join(", "))).map(drop);
    }
    if !args.status {
        migrate(&settings, &clock, &logger).await?;
    }
    if !args.status && !args.json {
        return Ok(());
    }
    let listed = migrations::list(&settings, &logger).await?;
    if args.json {
        return write_line(&mut output, &serde_json::json!({"migrations": listed})).map(drop);
    }
    let lines: Vec<String> = listed.iter().map(line).collect();
    write_text(&mut output, &lines.join("\n")).map(drop)
}

fn line(state: &MigrationState) -> String {
    let applied = state.applied_at.map_or_else(|| "pending".to_owned(), timestamp::text);
    let unknown = if state.known { "" } else { "  unknown to this version" };
    format!("{applied:<27}  {}{unknown}", state.name)
}

async fn migrate(settings: &Settings, clock: &Clock, logger: &Logger) -> Result<()> {
    let database = StartedDatabase::start(settings, logger, &CancellationToken::new()).await?;
    let prepared = startup::prepare(settings, &database, clock.now(), logger).await;
    database.stop().await?;
    prepared?;
    info!(logger, "the schema is up to date");
    Ok(())
}
