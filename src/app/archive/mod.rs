//! Months, as an operator moves and exports them (see [`crate::storage::archive`]).
//!
//! It works beside running instances, as the user that serves or as the owner: the database's own functions do what needs
//! the owner. An export is written beside its place, read again, and moved there when it is sound; nothing is ever deleted.

pub mod file;

use std::fs::{File, OpenOptions};
use std::io::BufReader;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use slog::Logger;

use self::file::{Contents, FORMAT, Header, TableSummary, VERSION, Writer};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, PublicMessage, Result};
use crate::startup::StartedDatabase;
use crate::storage::Database;
use crate::storage::archive::{self, TABLES};
pub use crate::storage::archive::{ListedMonth, Tier};
pub use crate::storage::partitions::Month;
use crate::storage::seal::KeyRing;

/// A database whose months are moved and exported.
pub struct Months {
    started: StartedDatabase,
    database: Database,
    tablespace: Option<String>,
    now: DateTime<Utc>,
}

/// A month and what keeps it from the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthReport {
    /// Which, where, how large.
    pub listed: ListedMonth,
    /// Applications in work.
    pub open: i64,
}

/// What an export was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says of itself, which it is.
    pub header: Header,
    /// Whether the database holds the same.
    pub comparison: Comparison,
}

/// How an export compares with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The database holds the same rows.
    Same,
    /// It does not hold the month.
    Absent,
    /// Its tables have changed since, so that the rows cannot be compared.
    OtherSchema,
}

impl Months {
    /// Finds or starts the configured database.
    ///
    /// # Errors
    /// When it cannot be reached, or the configuration cannot be used.
    pub async fn open(mut settings: Settings, clock: &Clock, logger: &Logger) -> Result<Self> {
        // Checking and reading a whole month takes as long as it takes.
        settings.database.statement_timeout_ms = 0;
        settings.database.pool_size = 2;
        let keys = KeyRing::of(&settings.complete_secrets(clock)?)?;
        let started = StartedDatabase::find_or_start(&settings, logger).await?;
        let database = Database::connect(started.url(), &settings.database, Arc::new(keys)).await?;
        let tablespace = settings.archive.tablespace().map(ToOwned::to_owned);
        Ok(Self { started, database, tablespace, now: clock.now() })
    }

    /// Stops what was started.
    ///
    /// # Errors
    /// When the private database does not stop.
    pub async fn close(self) -> Result<()> {
        drop(self.database);
        self.started.stop().await
    }

    /// Every month that is there, oldest first.
    pub async fn list(&self) -> Result<Vec<MonthReport>> {
        let mut connection = self.database.get().await?;
        let mut reports = Vec::new();
        for listed in archive::months(&mut connection).await? {
            let open = match listed.tier {
                Tier::Hot => archive::open_applications(&mut connection, listed.month).await?,
                Tier::Archived => 0,
            };
            reports.push(MonthReport { listed, open });
        }
        Ok(reports)
    }

    /// Moves a month to the archive, and to its tablespace where one is configured.
    ///
    /// # Errors
    /// As [`archive::archive`] and [`archive::place`].
    pub async fn detach(&self, month: Month) -> Result<()> {
        let mut connection = self.database.get().await?;
        archive::archive(&mut connection, month, self.now).await?;
        if let Some(tablespace) = &self.tablespace {
            archive::place(&mut connection, month, tablespace).await?;
        }
        Ok(())
    }

    /// Moves an archived month back among the living.
    ///
    /// # Errors
    /// As [`archive::restore`].
    pub async fn attach(&self, month: Month) -> Result<()> {
        archive::restore(&mut *self.database.get().await?, month).await
    }

    /// Writes a month to a file that is not there yet, and reads it again.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such month, [`Error::Conflict`] when it is not over, has applications in work,
    /// or the file exists; or when the database or the file fails.
    pub async fn export(&self, month: Month, path: &Path) -> Result<Header> {
        if path.exists() {
            return Err(conflict(format!("{} exists already", path.display())));
        }
        if month.next().start() > self.now {
            return Err(conflict(format!("{month} is not over")));
        }
        // Its own, so that a transaction that is broken off ends with it.
        let mut connection = self.database.dedicated().await?;
        archive::begin_reading(&mut connection).await?;
        let tier = archive::tier(&mut connection, month).await?.ok_or(Error::NotFound("month"))?;
        let open = archive::open_applications(&mut connection, month).await?;
        if tier == Tier::Hot && open > 0 {
            return Err(conflict(format!("{month} has {open} applications that are not closed")));
        }
        let partial = Partial::beside(path)?;
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            month: month.to_string(),
            schema_version: archive::schema_version(&mut connection).await?,
            exported_at: self.now,
            tables: summarise(&mut connection, tier, month).await?,
        };
        let mut writer = Writer::begin(partial.create()?, &header)?;
        for table in TABLES {
            archive::read_lines(&mut connection, table, tier, month, |line| writer.line(line)).await?;
        }
        archive::end_reading(&mut connection).await?;
        writer.finish()?.sync_all().map_err(failed)?;
        if read(&partial.0)? != header {
            return Err(Error::internal("the export does not read as it was written"));
        }
        partial.keep_as(path)?;
        Ok(header)
    }

    /// Reads an export and compares it with the database, where that has the month.
    ///
    /// # Errors
    /// As [`verify_file`]; [`Error::Conflict`] when the database holds other rows; or when the database fails.
    pub async fn verify(&self, path: &Path) -> Result<Verified> {
        let header = read(path)?;
        let month = Month::parse(&header.month).ok_or_else(|| damaged("it names no month"))?;
        // Its own, so that a transaction that is broken off ends with it.
        let mut connection = self.database.dedicated().await?;
        archive::begin_reading(&mut connection).await?;
        let Some(tier) = archive::tier(&mut connection, month).await? else {
            return Ok(Verified { header, comparison: Comparison::Absent });
        };
        if archive::schema_version(&mut connection).await? != header.schema_version {
            return Ok(Verified { header, comparison: Comparison::OtherSchema });
        }
        let held = summarise(&mut connection, tier, month).await?;
        archive::end_reading(&mut connection).await?;
        // Reading has seen to it that the file names every table.
        for (written, held) in header.tables.iter().zip(&held) {
            if written != held {
                let text = format!(
                    "the database holds something else: {} has {} rows there and {} in the file, and they are not the same",
                    held.name, held.rows, written.rows
                );
                return Err(conflict(text));
            }
        }
        Ok(Verified { header, comparison: Comparison::Same })
    }
}

/// Reads an export, without a database.
///
/// # Errors
/// [`Error::Conflict`] when it is damaged or none at all, [`Error::Unavailable`] when it cannot be read.
pub fn verify_file(path: &Path) -> Result<Header> {
    read(path)
}

fn read(path: &Path) -> Result<Header> {
    let opened = File::open(path).map_err(failed)?;
    file::read(BufReader::new(opened))
}

/// What a month's tables hold.
async fn summarise(
    connection: &mut AsyncPgConnection,
    tier: Tier,
    month: Month,
) -> Result<Vec<TableSummary>> {
    let mut tables = Vec::new();
    for table in TABLES {
        let mut contents = Contents::default();
        archive::read_lines(connection, table, tier, month, |line| {
            contents.add(line);
            Ok(())
        })
        .await?;
        tables.push(contents.summary(table.0));
    }
    Ok(tables)
}

/// A file that is being written; it goes unless it is kept.
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| conflict(format!("{} is no file", path.display())))?;
        let mut name = name.to_owned();
        name.push(".partial");
        Ok(Self(path.with_file_name(name)))
    }

    /// For its owner's eyes alone. What an export that was broken off has left is written over.
    fn create(&self) -> Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.0).map_err(failed)
    }

    fn keep_as(mut self, path: &Path) -> Result<()> {
        // A link fails where a file has come meanwhile; a rename would replace it.
        std::fs::hard_link(&self.0, path).map_err(failed)?;
        let _ = std::fs::remove_file(std::mem::take(&mut self.0));
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn conflict(text: String) -> Error {
    Error::Conflict(PublicMessage::new(text))
}

fn damaged(what: &str) -> Error {
    conflict(format!("the file is damaged or no export: {what}"))
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("the file", error)
}
