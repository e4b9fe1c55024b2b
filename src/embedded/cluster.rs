//! Creates the database cluster and writes its configuration.
//!
//! `initdb` works in a temporary directory that is renamed to its final name when it has finished. A cluster is
//! therefore always complete, and the next start removes the leftovers of an interrupted `initdb`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use slog::{Logger, info, warn};

use super::installation::{self, Installation};
use super::place::{DataDirectory, ServerUser, unusable};
use super::program::server_command;
use super::{DATABASE, EmbeddedSettings, roles};
use crate::error::{Error, Result};

/// Prefix of the temporary directories for `initdb`.
const UNFINISHED: &str = "postgres-unfinished-";

/// Whether the cluster's superuser may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SuperuserAccess {
    /// While Aval prepares the database, and always in tests.
    Allowed,
    /// While Aval serves requests.
    Refused,
}

/// The major version of an existing cluster.
///
/// # Errors
/// [`Error::Configuration`] if the directory is not a PostgreSQL cluster.
pub(super) fn existing_major(cluster: &Path) -> Result<Option<u32>> {
    if !cluster.exists() {
        return Ok(None);
    }
    let file = cluster.join("PG_VERSION");
    let text = fs::read_to_string(&file).map_err(|e| unusable(&file, &e))?;
    match installation::major(text.trim()) {
        Some(major) => Ok(Some(major)),
        None => {
            Err(Error::configuration(format!("{} does not contain a PostgreSQL version", file.display())))
        }
    }
}

/// Creates the cluster unless it exists.
///
/// # Errors
/// [`Error::Unavailable`] with the output of `initdb` if it fails.
pub(super) async fn create_if_missing(
    place: &DataDirectory,
    installation: &Installation,
    settings: &EmbeddedSettings,
    logger: &Logger,
) -> Result<()> {
    remove_unfinished(&place.home, logger);
    if place.cluster.exists() {
        return Ok(());
    }
    info!(logger, "creating the private database"; "directory" => place.cluster.display().to_string(),
        "postgresql" => installation.major);
    let work_dir = place.home.join(format!("{UNFINISHED}{}", std::process::id()));
    place.make_server_dir(&work_dir)?;
    run_initdb(&work_dir, place.server_user, installation, settings).await?;
    fs::rename(&work_dir, &place.cluster).map_err(|e| unusable(&place.cluster, &e))?;
    if settings.durable {
        File::open(&place.home).and_then(|dir| dir.sync_all()).map_err(|e| unusable(&place.home, &e))?;
    }
    Ok(())
}

async fn run_initdb(
    work_dir: &Path,
    user: Option<ServerUser>,
    installation: &Installation,
    settings: &EmbeddedSettings,
) -> Result<()> {
    let mut initdb = server_command(&installation.program("initdb"), user);
    initdb
        .args(["--encoding=UTF8", "--locale=C", "--data-checksums", "--auth=trust"])
        .arg(format!("--username={}", roles::SUPERUSER))
        .arg("--pgdata")
        .arg(work_dir)
        .kill_on_drop(true);
    if !settings.durable {
        initdb.arg("--no-sync");
    }
    let output = tokio::time::timeout(settings.start_timeout, initdb.output())
        .await
        .map_err(|_elapsed| Error::Timeout { what: "initdb", after: settings.start_timeout })?
        .map_err(|e| Error::unavailable("private PostgreSQL", format!("initdb did not start: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::unavailable(
        "private PostgreSQL",
        format!("initdb ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
    ))
}

/// Removes the leftovers of an interrupted `initdb`. A leftover that cannot be removed is harmless.
fn remove_unfinished(home: &Path, logger: &Logger) {
    let Ok(entries) = fs::read_dir(home) else { return };
    let leftovers: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))
        .map(|entry| entry.path())
        .collect();
    for leftover in leftovers {
        match fs::remove_dir_all(&leftover) {
            Ok(()) => {
                info!(logger, "removed an incomplete database"; "directory" => leftover.display().to_string())
            }
            Err(error) => warn!(logger, "cannot remove an incomplete database";
                "directory" => leftover.display().to_string(), "error" => error.to_string()),
        }
    }
}

/// Replaces `postgresql.conf` at each start. Settings made with `ALTER SYSTEM` are in another file and take precedence,
/// except for the socket directory.
pub(super) fn write_configuration(place: &DataDirectory, durable: bool) -> Result<()> {
    place.write_server_file(&place.cluster.join("postgresql.conf"), &postgresql_conf(durable))
}

/// Writes `pg_hba.conf`. A running server must reload it (SIGHUP).
///
/// It allows connections only through the Unix socket, whose directory is closed to other system users (see
/// [`super::place`]).
pub(super) fn write_access(place: &DataDirectory, superuser: SuperuserAccess) -> Result<()> {
    let mut lines = format!(
        "# Written by Aval at each start. The mode of the socket directory controls access.\n\
         local {DATABASE} {},{} trust\n",
        roles::OWNER,
        roles::SERVER
    );
    if superuser == SuperuserAccess::Allowed {
        lines.push_str("local all all trust\n");
    }
    place.write_server_file(&place.cluster.join("pg_hba.conf"), &lines)
}

/// Settings sized for a small machine that PostgreSQL shares with Aval. The server's log omits statements and details
/// because both can contain personal data.
fn postgresql_conf(durable: bool) -> String {
    let durability = if durable { "on" } else { "off" };
    format!(
        "# Written by Aval at each start; use ALTER SYSTEM for your own settings.\n\
         fsync = {durability}\n\
         synchronous_commit = {durability}\n\
         full_page_writes = {durability}\n\
         max_connections = 100\n\
         shared_buffers = 128MB\n\
         effective_cache_size = 1GB\n\
         work_mem = 8MB\n\
         maintenance_work_mem = 64MB\n\
         max_wal_size = 1GB\n\
         jit = off\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         logging_collector = off\n\
         log_line_prefix = '%m [%p] '\n\
         log_min_error_statement = panic\n\
         log_error_verbosity = terse\n\
         unix_socket_permissions = 0700\n"
    )
}
