//! `aval backup`: backs up the private PostgreSQL with its secrets, whether or not Aval is running.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use slog::Logger;

use super::lines::{write_line, write_text};
use super::progress;
use crate::app::backup::file::Manifest;
use crate::app::backup::{back_up, verify};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;

/// Backs up the private PostgreSQL and, unless told otherwise, the secrets in its data directory. The file has mode 0600
/// and is not encrypted: anyone who has a file with the secrets can read all personal data
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// New file, or an existing directory for a file named by the time
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "verify")]
    to: Option<PathBuf>,
    /// Leave out the secrets; without them the personal data in the backup cannot be read
    #[arg(long, requires = "to")]
    without_secrets: bool,
    /// Verify the checksums of a backup instead of writing one
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    verify: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand, with progress if standard error is a terminal.
pub async fn run(
    args: BackupArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    if let Some(path) = &args.verify {
        return describe(&mut output, args.json, path, &verify(path)?, "valid");
    }
    let path = match args.to {
        Some(directory) if directory.is_dir() => {
            directory.join(format!("aval-backup-{}.tar", clock.now().format("%Y%m%dT%H%M%SZ")))
        }
        to => to.unwrap_or_default(),
    };
    let bar = progress::bytes("dumping the database")?;
    let written =
        back_up(&settings, &path, !args.without_secrets, &clock, &logger, |bytes| bar.inc(bytes)).await;
    bar.finish_and_clear();
    describe(&mut output, args.json, &path, &written?, "written and verified")
}

/// Prints what a backup contains.
pub(super) fn describe(
    output: &mut impl Write,
    json: bool,
    path: &std::path::Path,
    manifest: &Manifest,
    outcome: &str,
) -> Result<()> {
    if json {
        let answer = serde_json::json!({"path": path, "outcome": outcome, "manifest": manifest});
        return write_line(output, &answer).map(drop);
    }
    let mut text = format!(
        "{}: {outcome}\nAval {}, PostgreSQL {}, migration {}, {}",
        path.display(),
        manifest.aval,
        manifest.postgresql,
        manifest.last_migration,
        manifest.created_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    for member in &manifest.files {
        text.push_str(&format!(
            "\n{:<14}  {:>12} bytes  sha256 {}",
            member.name, member.bytes, member.sha256
        ));
    }
    if !manifest.has_secrets() {
        text.push_str(
            "\nno secrets: keep ENCRYPTION_KEY, INDEX_KEY, JWT_SECRET and WEBHOOK_SECRET elsewhere",
        );
    }
    write_text(output, &text).map(drop)
}
