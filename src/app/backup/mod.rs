//! Backup and restore of the private PostgreSQL and of the secrets that Aval keeps next to it.
//!
//! A backup is a logical dump. It is consistent while Aval runs. A newer PostgreSQL can restore it; this is the way to
//! upgrade PostgreSQL to another major version. A restore builds the new database in a subdirectory of the empty data
//! directory and moves it into place when it is complete, so a failed restore leaves the directory empty. If the process is
//! killed during a restore, the subdirectory remains, and every later restore is rejected until it is deleted.
//!
//! Backups are not encrypted as a whole: personal data in the dump is sealed, and the secrets can be left out. A backup with
//! secrets must be protected like the secrets themselves (docs/backup.md).

pub mod file;

use std::fs::{self, OpenOptions};
use std::io::{SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use diesel_async::SimpleAsyncConnection as _;
use slog::{Logger, warn};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use self::file::{Backup, DUMP, Manifest, SECRETS, Writer};
use super::partial::Partial;
use crate::clock::Clock;
use crate::config::Settings;
use crate::embedded::{self, EmbeddedPostgres, EmbeddedSettings, Tools};
use crate::error::{Error, PublicMessage, Result};
use crate::startup::{StartedDatabase, embedded_settings};
use crate::storage::{connect, migrations};

/// The subdirectory in which a restore works.
const UNFINISHED: &str = "restore-unfinished";

/// Runs after a restore. The new epoch makes reconnecting clients reload (docs/backup.md). `ANALYZE` collects the planner's
/// statistics, which a dump does not contain.
const AFTER_RESTORE: &str = "UPDATE outbox_position SET epoch = gen_random_uuid(); ANALYZE";

/// Writes a backup to a new file. `on_bytes` gets the size of each part of the dump.
///
/// # Errors
/// [`Error::Configuration`] if Aval does not run its private PostgreSQL, or there is no database yet;
/// [`Error::Conflict`] if the file exists; [`Error::Unavailable`] if the dump or the file fails.
pub async fn back_up(
    settings: &Settings,
    path: &Path,
    with_secrets: bool,
    clock: &Clock,
    logger: &Logger,
    mut on_bytes: impl FnMut(u64),
) -> Result<Manifest> {
    let embedded = private_settings(settings)?;
    if embedded::existing_major(&embedded)?.is_none() {
        let data_dir = embedded.data_dir.display();
        return Err(Error::configuration(format_args!("{data_dir} contains no database to back up")));
    }
    if path.exists() {
        return Err(conflict(format!("{} already exists", path.display())));
    }
    let tools = Tools::find(&embedded).await?;
    let partial = Partial::beside(path)?;
    let file = partial.create()?;
    let (owner_url, started) = match embedded::running_owner_url(&embedded)? {
        Some(url) => (url, None),
        None => {
            let started = StartedDatabase::start(settings, logger, &CancellationToken::new()).await?;
            (started.schema_url(settings), Some(started))
        }
    };
    let written = async {
        let states = migrations::states(&owner_url).await?;
        let last = states.iter().rev().find(|state| state.applied_at.is_some());
        let last = last.ok_or_else(|| conflict("the database has no tables of Aval".to_owned()))?;
        let mut writer = Writer::new(file, Manifest::new(tools.major(), last.name.clone(), clock.now()));
        let mut dump = writer.begin(DUMP)?;
        tools
            .dump(&owner_url, |part| {
                on_bytes(u64::try_from(part.len()).unwrap_or(0));
                dump.write(part)
            })
            .await?;
        dump.end()?;
        if let Some(secrets) = kept_secrets(&embedded.data_dir).filter(|_| with_secrets) {
            let mut member = writer.begin(SECRETS)?;
            member.write(secrets.as_bytes())?;
            member.end()?;
        }
        writer.finish()
    };
    let written = written.await;
    if let Some(started) = started {
        started.stop().await?;
    }
    let manifest = written?;
    if file::read(partial.path())?.manifest != manifest {
        return Err(Error::internal("the backup differs when it is read back"));
    }
    partial.keep_as(path)?;
    Ok(manifest)
}

/// Reads and verifies a backup without restoring it.
///
/// # Errors
/// As [`file::read`].
pub fn verify(path: &Path) -> Result<Manifest> {
    Ok(file::read(path)?.manifest)
}

/// Restores a backup into the empty data directory.
///
/// # Errors
/// [`Error::Conflict`] if the file is damaged, the data directory is not empty, or a newer Aval wrote the backup;
/// [`Error::Configuration`] if Aval does not run its private PostgreSQL or the installed PostgreSQL is older than the
/// backup's; [`Error::Unavailable`] if the restore fails. The data directory then remains empty.
pub async fn restore(settings: &Settings, path: &Path, logger: &Logger) -> Result<Manifest> {
    let target = private_settings(settings)?;
    let backup = file::read(path)?;
    refuse_unless_empty(&target.data_dir)?;
    if !migrations::is_known(&backup.manifest.last_migration) {
        return Err(conflict(format!(
            "Aval {} wrote the backup, with the migration {} that this version does not have: restore it with that version",
            backup.manifest.aval, backup.manifest.last_migration
        )));
    }
    let unfinished = target.data_dir.join(UNFINISHED);
    let work = EmbeddedSettings { data_dir: unfinished.clone(), ..target.clone() };
    let tools = Tools::find(&work).await?;
    if tools.major() < backup.manifest.postgresql {
        return Err(Error::configuration(format_args!(
            "PostgreSQL {} wrote the backup, and the installed version {} cannot read it: install version {} or newer",
            backup.manifest.postgresql,
            tools.major(),
            backup.manifest.postgresql
        )));
    }
    let restored = fill(&work, &tools, path, &backup, logger).await;
    let moved = restored.and_then(|home| move_into_place(&unfinished, &home, &target.data_dir));
    if moved.is_err() {
        discard(&work, logger);
    }
    moved.map(|()| backup.manifest)
}

/// Creates a database in the work directory and restores the dump and the secrets. Returns the directory of the
/// cluster's files, which differs from the work directory if its server runs as another user.
async fn fill(
    work: &EmbeddedSettings,
    tools: &Tools,
    path: &Path,
    backup: &Backup,
    logger: &Logger,
) -> Result<PathBuf> {
    let server = EmbeddedPostgres::start(work.clone(), logger.clone()).await?;
    let home = server.directory().parent().unwrap_or(&work.data_dir).to_path_buf();
    let filled = restore_into(server.owner_url(), tools, path, backup).await;
    server.stop().await?;
    filled?;
    if let Some(secrets) = &backup.secrets {
        let secrets_file = work.data_dir.join(SECRETS);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&secrets_file)
            .map_err(|error| unusable(&secrets_file, error))?;
        file.write_all(secrets.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| unusable(&secrets_file, error))?;
    }
    Ok(home)
}

async fn restore_into(owner_url: &str, tools: &Tools, path: &Path, backup: &Backup) -> Result<()> {
    let (start, length) = backup.dump;
    let mut file = tokio::fs::File::open(path).await.map_err(|error| unusable(path, error))?;
    file.seek(SeekFrom::Start(start)).await.map_err(|error| unusable(path, error))?;
    tools.restore(owner_url, file.take(length)).await?;
    let mut connection = connect::connect(owner_url).await?;
    connection.batch_execute(AFTER_RESTORE).await?;
    Ok(())
}

/// Moves the secrets and then the cluster into the data directory. The restore is complete when the cluster has moved.
fn move_into_place(unfinished: &Path, home: &Path, data_dir: &Path) -> Result<()> {
    // If the cluster is in the fallback directory, the work directory contains a file with its id instead.
    let cluster = if home.ends_with(UNFINISHED) { "postgres" } else { "postgres.id" };
    for name in [SECRETS, cluster] {
        let from = unfinished.join(name);
        if from.exists() {
            fs::rename(&from, data_dir.join(name)).map_err(|error| unusable(&from, error))?;
        }
    }
    fs::remove_dir_all(unfinished)
        .and_then(|()| fs::File::open(data_dir)?.sync_all())
        .map_err(|error| unusable(unfinished, error))
}

/// Removes what a failed restore has created. The data directory itself remains, empty.
fn discard(work: &EmbeddedSettings, logger: &Logger) {
    let elsewhere = embedded::home(work).ok().flatten().filter(|home| !home.ends_with(UNFINISHED));
    for directory in elsewhere.iter().chain([&work.data_dir]) {
        if let Err(error) = fs::remove_dir_all(directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(logger, "cannot remove an incomplete restore";
                "directory" => directory.display().to_string(), "error" => error.to_string());
        }
    }
}

/// The settings of the private PostgreSQL.
fn private_settings(settings: &Settings) -> Result<EmbeddedSettings> {
    if settings.database.url.is_empty() {
        return Ok(embedded_settings(settings));
    }
    Err(Error::configuration(
        "database.url (DATABASE_URL) is set: these commands work only on the private PostgreSQL. Use pg_dump and pg_restore \
         for your own server, and back up the secrets separately (docs/backup.md)",
    ))
}

fn refuse_unless_empty(data_dir: &Path) -> Result<()> {
    let Ok(mut entries) = fs::read_dir(data_dir) else { return Ok(()) };
    let Some(entry) = entries.next() else { return Ok(()) };
    let found = entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).unwrap_or_default();
    Err(conflict(format!(
        "{} is not empty (it contains {found}): move it away, or set AVAL_DATA_DIR to another directory",
        data_dir.display()
    )))
}

/// The secrets that Aval generated in development and keeps in the data directory, if any.
fn kept_secrets(data_dir: &Path) -> Option<Zeroizing<String>> {
    fs::read_to_string(data_dir.join(SECRETS)).ok().map(Zeroizing::new)
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable("the data directory", format!("{}: {error}", path.display()))
}

fn conflict(text: String) -> Error {
    Error::Conflict(PublicMessage::new(text))
}
