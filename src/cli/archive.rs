//! `aval archive`: moves months to the archive and back, and exports them. Works with and without a running Aval.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use slog::Logger;

use super::lines::{Flow, write_line, write_text};
use super::progress;
use crate::app::archive::file::Header;
use crate::app::archive::{Comparison, Month, MonthReport, Months, verify_file};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;

/// Moves closed months to the archive and back, and exports them.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the months with their location, size and number of open applications
    List,
    /// Move a month to the archive, where it is read-only, found by identifier and absent from lists
    Detach {
        /// YYYY-MM
        #[arg(value_parser = month)]
        month: Month,
    },
    /// Move an archived month back
    Attach {
        /// YYYY-MM
        #[arg(value_parser = month)]
        month: Month,
    },
    /// Export a month to a compressed file and verify the file; deletes nothing
    Export {
        /// YYYY-MM
        #[arg(value_parser = month)]
        month: Month,
        /// Path of the new file; it must not exist
        #[arg(long)]
        output: PathBuf,
    },
    /// Verify an exported file and compare it with the database if the database has the month
    Verify {
        /// Path of the exported file
        file: PathBuf,
        /// Do not compare it with a database
        #[arg(long)]
        offline: bool,
    },
}

fn month(text: &str) -> Result<Month, &'static str> {
    Month::parse(text).ok_or("must be a month in the form YYYY-MM")
}

/// Runs the subcommand.
pub async fn run(
    args: ArchiveArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    if let Action::Verify { file, offline: true } = &args.action {
        return describe(&mut output, args.json, &verify_file(file)?, "valid");
    }
    let months = Months::open(settings, &clock, &logger).await?;
    let done = carry_out(&months, args.action, args.json, &mut output).await;
    months.close().await?;
    done
}

async fn carry_out(months: &Months, action: Action, json: bool, output: &mut impl Write) -> Result<()> {
    match action {
        Action::List => list(output, json, &months.list().await?),
        Action::Detach { month } => {
            during(format!("moving {month} to the archive"), months.detach(month)).await?;
            moved(output, json, month, "archived", "has been moved to the archive")
        }
        Action::Attach { month } => {
            during(format!("moving {month} back"), months.attach(month)).await?;
            moved(output, json, month, "hot", "has been moved back from the archive")
        }
        Action::Export { month, output: file } => {
            let exported = during(format!("exporting {month}"), months.export(month, &file)).await?;
            describe(output, json, &exported, "exported")
        }
        Action::Verify { file, .. } => {
            let verified = during(format!("verifying {}", file.display()), months.verify(&file)).await?;
            let found = match verified.comparison {
                Comparison::Same => "valid, and identical to the database",
                Comparison::Absent => "valid; the month is not in the database",
                Comparison::OtherSchema => {
                    "valid; not compared because the schema has changed since the export"
                }
            };
            describe(output, json, &verified.header, found)
        }
    }
}

/// Shows the elapsed time until `work` ends.
async fn during<R>(message: String, work: impl Future<Output = Result<R>>) -> Result<R> {
    let bar = progress::time(message)?;
    let done = work.await;
    bar.finish_and_clear();
    done
}

fn moved(output: &mut impl Write, json: bool, month: Month, tier: &str, text: &str) -> Result<()> {
    if json {
        return write_line(output, &json!({"month": month.to_string(), "tier": tier})).map(drop);
    }
    write_text(output, &format!("{month} {text}")).map(drop)
}

fn list(output: &mut impl Write, json: bool, reports: &[MonthReport]) -> Result<()> {
    if json {
        let months: Vec<_> = reports
            .iter()
            .map(|MonthReport { listed, open }| {
                json!({
                    "month": listed.month.to_string(),
                    "tier": listed.tier.as_str(),
                    "bytes": listed.bytes,
                    "open_applications": open,
                })
            })
            .collect();
        return write_line(output, &json!({"months": months})).map(drop);
    }
    for MonthReport { listed, open } in reports {
        let (month, tier, kib) = (listed.month, listed.tier.as_str(), listed.bytes / 1024);
        let line = format!("{month}  {tier:<8}  {kib:>12} KiB  {open:>8} open");
        if write_text(output, &line)? == Flow::ReaderGone {
            break;
        }
    }
    Ok(())
}

fn describe(output: &mut impl Write, json: bool, header: &Header, found: &str) -> Result<()> {
    if json {
        return write_line(output, &json!({"outcome": found, "header": header})).map(drop);
    }
    let mut text = format!("{}: {found}", header.month);
    for table in &header.tables {
        text.push_str(&format!("\n{:<12}  {:>10} rows  sha256 {}", table.name, table.rows, table.sha256));
    }
    write_text(output, &text).map(drop)
}
