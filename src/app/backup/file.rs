//! The file format of a backup: an uncompressed tar archive, which any tool can list and extract.
//!
//! Its members are `database.dump` (`pg_dump`, custom format, already compressed), `secrets.toml` if the secrets are
//! included, and at the end `manifest.json` with the size and SHA-256 of the other members. A truncated file has no valid
//! manifest and is rejected. The size of a dump is unknown until it ends, so the tar header of a member is written after its
//! contents.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::app::checksum::hex;
use crate::error::{Error, PublicMessage, Result};

/// The member with the dump.
pub const DUMP: &str = "database.dump";
/// The member with the secrets.
pub const SECRETS: &str = "secrets.toml";
const MANIFEST: &str = "manifest.json";
/// The `format` of the manifest.
const FORMAT: &str = "aval-backup";
/// The version of the format.
const VERSION: u32 = 1;
/// The block size of tar.
const BLOCK: u64 = 512;
/// The largest accepted `manifest.json` and `secrets.toml`.
const SMALL_BYTES: u64 = 1 << 20;

/// What the backup contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// The version of Aval that wrote the backup.
    pub aval: String,
    /// The major version of PostgreSQL that wrote the dump.
    pub postgresql: u32,
    /// The last migration of the database.
    pub last_migration: String,
    pub created_at: DateTime<Utc>,
    pub files: Vec<Member>,
}

impl Manifest {
    /// A manifest without members.
    pub fn new(postgresql: u32, last_migration: String, created_at: DateTime<Utc>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            aval: env!("CARGO_PKG_VERSION").to_owned(),
            postgresql,
            last_migration,
            created_at,
            files: Vec::new(),
        }
    }

    /// Whether the secrets are included.
    pub fn has_secrets(&self) -> bool {
        self.files.iter().any(|member| member.name == SECRETS)
    }
}

/// The size and hash of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub name: String,
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// Writes a backup.
pub struct Writer {
    file: File,
    manifest: Manifest,
}

impl Writer {
    /// `file` must be empty and open for writing.
    pub fn new(file: File, manifest: Manifest) -> Self {
        Self { file, manifest }
    }

    /// Begins a member.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be written, as for all functions of this type.
    pub fn begin(&mut self, name: &'static str) -> Result<OpenMember<'_>> {
        let header_at = self.file.stream_position().map_err(failed)?;
        self.file.write_all(&[0; 512]).map_err(failed)?;
        Ok(OpenMember { writer: self, name, header_at, bytes: 0, hash: Sha256::new() })
    }

    /// Writes the manifest and flushes the file to the disk.
    pub fn finish(mut self) -> Result<Manifest> {
        let manifest = self.manifest.clone();
        let text = serde_json::to_vec_pretty(&manifest).map_err(Error::internal)?;
        let mut member = self.begin(MANIFEST)?;
        member.write(&text)?;
        member.end()?;
        // Two empty blocks end a tar archive.
        self.file.write_all(&[0; 1024]).and_then(|()| self.file.sync_all()).map_err(failed)?;
        Ok(manifest)
    }
}

/// A member that is being written.
pub struct OpenMember<'w> {
    writer: &'w mut Writer,
    name: &'static str,
    header_at: u64,
    bytes: u64,
    hash: Sha256,
}

impl OpenMember<'_> {
    /// Appends a part.
    pub fn write(&mut self, part: &[u8]) -> Result<()> {
        self.writer.file.write_all(part).map_err(failed)?;
        self.hash.update(part);
        self.bytes += u64::try_from(part.len()).map_err(Error::internal)?;
        Ok(())
    }

    /// Writes the member's header and lists it in the manifest.
    pub fn end(self) -> Result<()> {
        let Self { writer, name, header_at, bytes, hash } = self;
        let padding = usize::try_from(bytes.next_multiple_of(BLOCK) - bytes).map_err(Error::internal)?;
        let mut header = tar::Header::new_gnu();
        header.set_path(name).map_err(failed)?;
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(writer.manifest.created_at.timestamp()).unwrap_or(0));
        header.set_cksum();
        let file = &mut writer.file;
        file.write_all(&vec![0; padding])
            .and_then(|()| file.seek(SeekFrom::Start(header_at)))
            .and_then(|_| file.write_all(header.as_bytes()))
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(failed)?;
        writer.manifest.files.push(Member { name: name.to_owned(), bytes, sha256: hex(hash) });
        Ok(())
    }
}

/// A verified backup.
#[derive(Debug)]
pub struct Backup {
    pub manifest: Manifest,
    /// The position and length of the dump in the file.
    pub dump: (u64, u64),
    /// The text of `secrets.toml`, if included.
    pub secrets: Option<Zeroizing<String>>,
}

/// Reads a whole backup and verifies every checksum.
///
/// # Errors
/// [`Error::Conflict`] with the defect; [`Error::Unavailable`] if the file cannot be read.
pub fn read(path: &Path) -> Result<Backup> {
    let file = File::open(path).map_err(failed)?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 18, file));
    let incomplete = |_: std::io::Error| damaged("it ends early or is not a tar archive");
    let (mut found, mut manifest, mut dump, mut secrets) = (Vec::new(), None, None, None);
    for entry in archive.entries().map_err(incomplete)? {
        let mut entry = entry.map_err(incomplete)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let bytes = entry.size();
        match name.as_str() {
            _ if manifest.is_some() => return Err(damaged("it continues after its manifest")),
            MANIFEST => {
                let text = read_small(&mut entry, bytes)?;
                let read = serde_json::from_slice::<Manifest>(&text);
                manifest = Some(read.ok().ok_or_else(|| damaged("its manifest cannot be read"))?);
                continue;
            }
            DUMP => dump = Some((entry.raw_file_position(), bytes)),
            SECRETS => {}
            _ => return Err(damaged("it has an unknown member")),
        }
        let mut hash = Sha256::new();
        if name == SECRETS {
            let text = read_small(&mut entry, bytes)?;
            hash.update(&*text);
            let text = std::str::from_utf8(&text).ok().map(|text| Zeroizing::new(text.to_owned()));
            secrets = Some(text.ok_or_else(|| damaged("its secrets are not text"))?);
        } else {
            let mut chunk = vec![0; 1 << 18];
            loop {
                let read = entry.read(&mut chunk).map_err(incomplete)?;
                match chunk.get(..read) {
                    Some(part) if !part.is_empty() => hash.update(part),
                    _ => break,
                }
            }
        }
        found.push(Member { name, bytes, sha256: hex(hash) });
    }
    let manifest = manifest.ok_or_else(|| damaged("its end is missing"))?;
    if manifest.format != FORMAT || manifest.version != VERSION {
        return Err(damaged("another version of Aval wrote it in a format that this version does not read"));
    }
    if manifest.files != found {
        return Err(damaged("its members differ from its manifest"));
    }
    let dump = dump.ok_or_else(|| damaged("it contains no database"))?;
    Ok(Backup { manifest, dump, secrets })
}

/// Reads a member of at most [`SMALL_BYTES`].
fn read_small(entry: &mut impl Read, bytes: u64) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    if bytes > SMALL_BYTES || entry.take(SMALL_BYTES).read_to_end(&mut text).is_err() {
        return Err(damaged("a member is too large or ends early"));
    }
    Ok(text)
}

fn damaged(what: &str) -> Error {
    Error::Conflict(PublicMessage::new(format!("the file is damaged or not a backup: {what}")))
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("the backup file", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path) -> Manifest {
        let created_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let manifest = Manifest::new(15, "2026".to_owned(), created_at);
        let mut writer = Writer::new(File::create_new(path).unwrap(), manifest);
        let mut dump = writer.begin(DUMP).unwrap();
        dump.write(&[7; 700]).unwrap();
        dump.write(&[8; 700]).unwrap();
        dump.end().unwrap();
        let mut secrets = writer.begin(SECRETS).unwrap();
        secrets.write(b"jwt = \"x\"\n").unwrap();
        secrets.end().unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_written_backup_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        let manifest = written(&path);
        let backup = read(&path).unwrap();
        assert_eq!(backup.manifest, manifest);
        assert!(backup.manifest.has_secrets());
        assert_eq!(backup.secrets.unwrap().as_str(), "jwt = \"x\"\n");
        let bytes = std::fs::read(&path).unwrap();
        let (start, length) =
            (usize::try_from(backup.dump.0).unwrap(), usize::try_from(backup.dump.1).unwrap());
        assert_eq!(bytes[start..start + length], [[7; 700], [8; 700]].concat());
    }

    #[test]
    fn a_backup_that_ends_early_or_has_a_changed_byte_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        written(&path);
        let whole = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged.tar");
        // Without the final empty blocks the archive is still complete.
        for length in (0..whole.len() - 1024).step_by(97) {
            std::fs::write(&damaged, &whole[..length]).unwrap();
            assert!(matches!(read(&damaged), Err(Error::Conflict(_))), "{length} bytes");
        }
        for place in [600, 1300, 2100] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&damaged, &changed).unwrap();
            assert!(matches!(read(&damaged), Err(Error::Conflict(_))), "byte {place}");
        }
    }
}
