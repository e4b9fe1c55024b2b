//! The file format of an exported month: gzip-compressed lines of JSON.
//!
//! The first line is the [`Header`]: the month, the schema version, and for each table the number of rows and their
//! SHA-256. The rows follow, one per line, table by table in the order of the header. The hash of a table covers its
//! lines with their line feeds. Any tool can read the file: `gunzip -c FILE | head -1`. Personal data is sealed as in
//! the database.

use std::io::{BufRead, BufReader, Read, Write};

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Month, damaged, failed};
use crate::app::checksum::hex;
use crate::error::{Error, Result};
use crate::storage::archive::TABLES;

/// The `format` of the header.
pub const FORMAT: &str = "aval-archive";
/// The version of the format.
pub const VERSION: u32 = 1;
/// The maximum length of a line in bytes. Every row is much shorter.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// The length of a gzip header without a name.
const GZIP_HEADER_BYTES: usize = 10;

/// The first line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub format: String,
    pub version: u32,
    /// The exported month, as `YYYY-MM`.
    pub month: String,
    /// The newest migration of the source database.
    pub schema_version: String,
    pub exported_at: DateTime<Utc>,
    /// The tables, in the order of their rows in the file.
    pub tables: Vec<TableSummary>,
}

/// The name, row count and hash of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSummary {
    pub name: String,
    pub rows: u64,
    /// SHA-256 of its lines, in hex.
    pub sha256: String,
}

/// Counts and hashes the rows of a table.
#[derive(Default)]
pub struct Contents {
    rows: u64,
    hash: Sha256,
}

impl Contents {
    pub fn add(&mut self, line: &str) {
        self.rows += 1;
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
    }

    /// The summary of the added rows.
    pub fn summary(self, name: &str) -> TableSummary {
        TableSummary { name: name.to_owned(), rows: self.rows, sha256: hex(self.hash) }
    }
}

/// Writes an export.
pub struct Writer<W: Write>(GzEncoder<W>);

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(file: W, header: &Header) -> Result<Self> {
        let mut writer = Self(GzEncoder::new(file, Compression::default()));
        writer.line(&serde_json::to_string(header).map_err(Error::internal)?)?;
        Ok(writer)
    }

    /// Writes a row.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn line(&mut self, line: &str) -> Result<()> {
        self.0.write_all(line.as_bytes()).and_then(|()| self.0.write_all(b"\n")).map_err(failed)
    }

    /// Completes the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> Result<W> {
        self.0.finish().map_err(failed)
    }
}

/// The ids in a row. A row belongs to the month of its application's id.
#[derive(Deserialize)]
struct RowIds {
    id: Uuid,
    application_id: Option<Uuid>,
}

/// Reads a whole file and verifies it against its header.
///
/// # Errors
/// [`Error::Conflict`] with the defect, [`Error::Unavailable`] if it cannot be read.
pub fn read(mut file: impl BufRead) -> Result<Header> {
    let mut beginning = [0; GZIP_HEADER_BYTES];
    file.read_exact(&mut beginning).map_err(|_short| damaged("it is not a gzip file"))?;
    // No checksum covers these bytes, so they must equal the bytes that every export begins with.
    if beginning.as_slice() != gzip_header()? {
        return Err(damaged("its gzip header is not that of an export"));
    }
    let mut lines = BufReader::new(GzDecoder::new(beginning.as_slice().chain(&mut file)));
    let mut line = String::new();
    next(&mut lines, &mut line)?;
    let header: Header =
        serde_json::from_str(&line).map_err(|_other| damaged("its header cannot be read"))?;
    if header.format != FORMAT || header.version != VERSION {
        return Err(damaged("its format or version is unknown"));
    }
    let month = Month::parse(&header.month).ok_or_else(|| damaged("its header has no valid month"))?;
    if !header.tables.iter().map(|table| table.name.as_str()).eq(TABLES.map(|(name, _, _)| name)) {
        return Err(damaged("its header does not list the tables of an export"));
    }
    for table in &header.tables {
        let mut contents = Contents::default();
        for _ in 0..table.rows {
            next(&mut lines, &mut line)?;
            check_month(&line, month)?;
            contents.add(&line);
        }
        if contents.summary(&table.name) != *table {
            return Err(damaged(&format!("the rows of {} do not match the header", table.name)));
        }
    }
    // Reading to the end verifies gzip's own checksum.
    let mut rest = [0; 1];
    match lines.read(&mut rest) {
        Ok(0) => {}
        Ok(_) => return Err(damaged("it has more rows than its header states")),
        Err(_) => return Err(damaged("its end is missing or wrong")),
    }
    match file.read(&mut rest).map_err(failed)? {
        0 => Ok(header),
        _ => Err(damaged("it has trailing data")),
    }
}

/// Reads the next line, without its line feed.
fn next(lines: &mut impl BufRead, line: &mut String) -> Result<()> {
    line.clear();
    let read =
        lines.take(MAX_LINE_BYTES).read_line(line).map_err(|_broken| damaged("it cannot be decompressed"))?;
    if read == 0 || line.pop() != Some('\n') {
        return Err(damaged("it ends too early"));
    }
    Ok(())
}

fn check_month(line: &str, month: Month) -> Result<()> {
    let ids: RowIds = serde_json::from_str(line).map_err(|_other| damaged("a row is malformed"))?;
    let id = ids.application_id.unwrap_or(ids.id);
    let created_at = crate::domain::ids::ApplicationId::new(id).created_at();
    if created_at.map(Month::of) == Some(month) {
        Ok(())
    } else {
        Err(damaged("a row belongs to another month"))
    }
}

/// The bytes that every file begins with.
fn gzip_header() -> Result<Vec<u8>> {
    let mut empty = GzEncoder::new(Vec::new(), Compression::default()).finish().map_err(failed)?;
    empty.truncate(GZIP_HEADER_BYTES);
    Ok(empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<String> {
        let id = |n: u64| {
            let ms = 1_704_067_200_000 + n;
            uuid::Builder::from_unix_timestamp_millis(ms, &[7; 10]).into_uuid()
        };
        (0..5).map(|n| format!(r#"{{"id":"{}","status":"REJECTED","n":{n}}}"#, id(n))).collect()
    }

    fn header(lines: &[String]) -> Header {
        let mut contents = Contents::default();
        lines.iter().for_each(|line| contents.add(line));
        let empty = Contents::default;
        let tables = vec![
            contents.summary("applications"),
            empty().summary("audit_logs"),
            empty().summary("decisions"),
        ];
        Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            month: "2024-01".to_owned(),
            schema_version: "20261122".to_owned(),
            exported_at: DateTime::UNIX_EPOCH,
            tables,
        }
    }

    fn export(header: &Header, lines: &[String]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), header).unwrap();
        lines.iter().for_each(|line| writer.line(line).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn an_export_round_trips() {
        let (lines, header) = (lines(), header(&lines()));
        assert_eq!(read(export(&header, &lines).as_slice()).unwrap(), header);
    }

    #[test]
    fn any_changed_byte_is_detected() {
        let bytes = export(&header(&lines()), &lines());
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] = !changed[position];
            assert!(read(changed.as_slice()).is_err(), "byte {position}");
        }
    }

    #[test]
    fn a_truncated_or_extended_file_is_detected() {
        let bytes = export(&header(&lines()), &lines());
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(read([bytes.as_slice(), b"x"].concat().as_slice()).is_err());
        assert!(read([bytes.as_slice(), bytes.as_slice()].concat().as_slice()).is_err());
    }

    #[test]
    fn a_valid_file_without_one_of_the_tables_is_rejected() {
        let whole = header(&lines());
        for tables in [Vec::new(), whole.tables[..2].to_vec()] {
            let lines = if tables.is_empty() { Vec::new() } else { lines() };
            let partial = Header { tables, ..header(&lines) };
            let refusal = read(export(&partial, &lines).as_slice()).unwrap_err().to_string();
            assert!(refusal.contains("does not list the tables"), "{refusal}");
        }
    }

    #[test]
    fn rows_that_do_not_match_the_header_are_detected_in_valid_gzip() {
        let (all, header) = (lines(), header(&lines()));
        let mut other = all.clone();
        other[2] = other[2].replace("REJECTED", "APPROVED");
        let mut reordered = all.clone();
        reordered.swap(0, 1);
        for lines in [&other, &reordered, &all[1..].to_vec(), &[&all[..], &all[..1]].concat()] {
            assert!(read(export(&header, lines).as_slice()).is_err());
        }
        let elsewhere = Header { month: "2024-02".to_owned(), ..header };
        assert!(read(export(&elsewhere, &all).as_slice()).unwrap_err().to_string().contains("another month"));
    }
}
