//! Operators' commands that archive, restore and export months (see [`crate::storage::archive`]).
//!
//! The commands can be used while instances run. They connect as Aval's database user or as the schema's owner; functions
//! in the database perform the steps that require the owner. An export is written to a temporary file, read back, and moved
//! to its destination if it is valid. No data is ever deleted.

pub mod file;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use slog::Logger;

use self::file::{Contents, FORMAT, Header, TableSummary, VERSION, Writer};
use super::partial::Partial;
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, PublicMessage, Result};
use crate::startup::StartedDatabase;
use crate::storage::Database;
use crate::storage::archive::{self, TABLES};
pub use crate::storage::archive::{ListedMonth, Tier};
pub use crate::storage::partitions::Month;
use crate::storage::seal::KeyRing;

/// A database whose months are archived and exported.
pub struct Months {
    started: StartedDatabase,
    database: Database,
    tablespace: Option<String>,
    now: DateTime<Utc>,
}

/// A month, and the number of open applications that prevent archiving it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthReport {
    pub listed: ListedMonth,
    pub open: i64,
}

/// The result of verifying an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub header: Header,
    /// How the export compares with the database.
    pub comparison: Comparison,
}

/// How an export compares with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The database has the same rows.
    Same,
    /// The database does not have the month.
    Absent,
    /// The tables have changed since the export, so the rows cannot be compared.
    OtherSchema,
}

impl Months {
    /// Finds or starts the configured database.
    ///
    /// # Errors
    /// If it is unreachable or the configuration is invalid.
    pub async fn open(mut settings: Settings, clock: &Clock, logger: &Logger) -> Result<Self> {
        // Validating and reading a whole month has no time limit.
        settings.database.statement_timeout_ms = 0;
        settings.database.pool_size = 2;
        let keys = KeyRing::of(&settings.complete_secrets(clock)?)?;
        let started = StartedDatabase::find_or_start(&settings, logger).await?;
        let database = Database::connect(started.url(), &settings.database, Arc::new(keys), None).await?;
        let tablespace = settings.archive.tablespace().map(ToOwned::to_owned);
        Ok(Self { started, database, tablespace, now: clock.now() })
    }

    /// Stops the private database if it was started.
    ///
    /// # Errors
    /// If the private database does not stop.
    pub async fn close(self) -> Result<()> {
        drop(self.database);
        self.started.stop().await
    }

    /// All months, oldest first.
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

    /// Archives a month, and moves it to the archive's tablespace if one is configured.
    ///
    /// # Errors
    /// As [`archive::archive`] and [`archive::move_to_tablespace`].
    pub async fn detach(&self, month: Month) -> Result<()> {
        let mut connection = self.database.get().await?;
        archive::archive(&mut connection, month, self.now).await?;
        if let Some(tablespace) = &self.tablespace {
            archive::move_to_tablespace(&mut connection, month, tablespace).await?;
        }
        Ok(())
    }

    /// Restores an archived month to the live tables.
    ///
    /// # Errors
    /// As [`archive::restore`].
    pub async fn attach(&self, month: Month) -> Result<()> {
        archive::restore(&mut *self.database.get().await?, month).await
    }

    /// Writes a month to a new file and reads it back.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the month does not exist; [`Error::Conflict`] if the month has not ended or
    /// has open applications, or if the file exists; an error if the file cannot be written.
    pub async fn export(&self, month: Month, path: &Path) -> Result<Header> {
        if path.exists() {
            return Err(conflict(format!("{} already exists", path.display())));
        }
        if month.next().start() > self.now {
            return Err(conflict(format!("{month} is not over")));
        }
        // A dedicated connection: after an error it is closed, which aborts the transaction.
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
        if read(partial.path())? != header {
            return Err(Error::internal("the export differs when it is read back"));
        }
        partial.keep_as(path)?;
        Ok(header)
    }

    /// Reads an export and compares it with the database, if the database has the month.
    ///
    /// # Errors
    /// As [`verify_file`]; [`Error::Conflict`] if the rows in the database differ.
    pub async fn verify(&self, path: &Path) -> Result<Verified> {
        let header = read(path)?;
        let month = Month::parse(&header.month).ok_or_else(|| damaged("its header has no valid month"))?;
        // A dedicated connection: after an early return it is closed, which aborts the transaction.
        let mut connection = self.database.dedicated().await?;
        archive::begin_reading(&mut connection).await?;
        let Some(tier) = archive::tier(&mut connection, month).await? else {
            return Ok(Verified { header, comparison: Comparison::Absent });
        };
        if archive::schema_version(&mut connection).await? != header.schema_version {
            return Ok(Verified { header, comparison: Comparison::OtherSchema });
        }
        let in_database = summarise(&mut connection, tier, month).await?;
        archive::end_reading(&mut connection).await?;
        // Reading has verified that the header lists every table.
        for (written, in_database) in header.tables.iter().zip(&in_database) {
            if written != in_database {
                let text = format!(
                    "the export differs from the database: {} has {} rows in the database and {} in the file",
                    in_database.name, in_database.rows, written.rows
                );
                return Err(conflict(text));
            }
        }
        Ok(Verified { header, comparison: Comparison::Same })
    }
}

/// Verifies an export without a database.
///
/// # Errors
/// [`Error::Conflict`] if it is damaged or not an export, [`Error::Unavailable`] if it cannot be read.
pub fn verify_file(path: &Path) -> Result<Header> {
    read(path)
}

fn read(path: &Path) -> Result<Header> {
    let opened = File::open(path).map_err(failed)?;
    file::read(BufReader::new(opened))
}

/// The summaries of a month's tables.
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

fn conflict(text: String) -> Error {
    Error::Conflict(PublicMessage::new(text))
}

fn damaged(what: &str) -> Error {
    conflict(format!("the file is damaged or not an export: {what}"))
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("the file", error)
}
