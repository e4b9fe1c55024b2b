//! `aval archive`: months out of the way and back, and their export for object storage. It works beside a running Aval,
//! and without one.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use slog::Logger;

use super::lines::{Flow, write_text};
use crate::app::archive::file::Header;
use crate::app::archive::{Comparison, Month, MonthReport, Months, verify_file};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;

/// Moves months whose applications are all closed to the archive and back, and exports them.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the months, where they are, and what keeps them from the archive
    List,
    /// Move a month to the archive: read-only, found by identifier, in no list
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
    /// Write a month to a compressed file and read it again; nothing is deleted
    Export {
        /// YYYY-MM
        #[arg(value_parser = month)]
        month: Month,
        /// A file that is not there yet
        #[arg(long)]
        output: PathBuf,
    },
    /// Read an exported file, and compare it with the database where that has the month
    Verify {
        /// The file
        file: PathBuf,
        /// Without a database
        #[arg(long)]
        offline: bool,
    },
}

fn month(text: &str) -> Result<Month, &'static str> {
    Month::parse(text).ok_or("must be a month, as YYYY-MM")
}

/// Runs the subcommand.
///
/// # Errors
/// When the month cannot be moved, the file is not sound, or the database or the configuration fails.
pub async fn run(
    args: ArchiveArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    if let What::Verify { file, offline: true } = &args.what {
        return describe(&mut output, &verify_file(file)?, "sound");
    }
    let months = Months::open(settings, &clock, &logger).await?;
    let done = carry_out(&months, args.what, &mut output).await;
    months.close().await?;
    done
}

async fn carry_out(months: &Months, what: What, output: &mut impl Write) -> Result<()> {
    match what {
        What::List => list(output, &months.list().await?),
        What::Detach { month } => {
            months.detach(month).await?;
            write_text(output, &format!("{month} is archived")).map(drop)
        }
        What::Attach { month } => {
            months.attach(month).await?;
            write_text(output, &format!("{month} is among the living again")).map(drop)
        }
        What::Export { month, output: file } => {
            describe(output, &months.export(month, &file).await?, "written")
        }
        What::Verify { file, .. } => {
            let verified = months.verify(&file).await?;
            let found = match verified.comparison {
                Comparison::Same => "sound, and the database holds the same",
                Comparison::Absent => "sound; the database does not hold the month",
                Comparison::OtherSchema => {
                    "sound; not compared, for the database's tables have changed since"
                }
            };
            describe(output, &verified.header, found)
        }
    }
}

fn list(output: &mut impl Write, reports: &[MonthReport]) -> Result<()> {
    for MonthReport { listed, open } in reports {
        let (month, tier, kib) = (listed.month, listed.tier.as_str(), listed.bytes / 1024);
        let line = format!("{month}  {tier:<8}  {kib:>12} KiB  {open:>8} open");
        if write_text(output, &line)? == Flow::ReaderGone {
            break;
        }
    }
    Ok(())
}

fn describe(output: &mut impl Write, header: &Header, found: &str) -> Result<()> {
    let mut text = format!("{}: {found}", header.month);
    for table in &header.tables {
        text.push_str(&format!("\n{:<12}  {:>10} rows  sha256 {}", table.name, table.rows, table.sha256));
    }
    write_text(output, &text).map(drop)
}
