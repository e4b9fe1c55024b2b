//! Makes the database's files and writes its configuration.
//!
//! `initdb` works in a directory of its own that is renamed into place when it has finished: whatever stands in
//! place is whole, and what an interrupted `initdb` left is swept away at the next start.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use slog::{Logger, info, warn};
use tokio::process::Command;

use super::installation::{self, Installation};
use super::place::{DataDirectory, ServerUser, unusable};
use super::{DATABASE, EmbeddedSettings, roles};
use crate::error::{Error, Result};

/// The start of the names of directories that `initdb` works in.
const UNFINISHED: &str = "postgres-unfinished-";

/// What of Aval's environment PostgreSQL's programs get: the rest can hold secrets, and whoever may read the server's
/// process or run a program from SQL reads its environment.
const PASSED_ON: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ"];
/// The one variable that Aval sets for them.
const LOCALE: (&str, &str) = ("LC_ALL", "C");

/// Whether the superuser of the cluster may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SuperuserAccess {
    /// While Aval prepares the database; in tests always.
    Allowed,
    /// While Aval serves.
    Refused,
}

/// The major version that made the database, or `None` when there is no database yet.
///
/// # Errors
/// [`Error::Configuration`] when something else stands in its place.
pub(super) fn existing_major(cluster: &Path) -> Result<Option<u32>> {
    if !cluster.exists() {
        return Ok(None);
    }
    let file = cluster.join("PG_VERSION");
    let text = fs::read_to_string(&file).map_err(|e| unusable(&file, &e))?;
    match installation::major(text.trim()) {
        Some(major) => Ok(Some(major)),
        None => Err(Error::configuration(format!("{} does not hold a PostgreSQL version", file.display()))),
    }
}

/// Makes the database's files when there are none.
///
/// # Errors
/// [`Error::Unavailable`] with what `initdb` said when it fails.
pub(super) async fn create_if_missing(
    place: &DataDirectory,
    installation: &Installation,
    settings: &EmbeddedSettings,
    logger: &Logger,
) -> Result<()> {
    sweep_unfinished(&place.home, logger);
    if place.cluster.exists() {
        return Ok(());
    }
    info!(logger, "making a private database"; "directory" => place.cluster.display().to_string(),
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
        .map_err(|e| Error::unavailable("embedded PostgreSQL", format!("initdb did not start: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::unavailable(
        "embedded PostgreSQL",
        format!("initdb ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
    ))
}

/// Removes what an interrupted `initdb` left. A leftover that cannot be removed does no harm.
fn sweep_unfinished(home: &Path, logger: &Logger) {
    let Ok(entries) = fs::read_dir(home) else { return };
    let leftovers: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))
        .map(|entry| entry.path())
        .collect();
    for leftover in leftovers {
        match fs::remove_dir_all(&leftover) {
            Ok(()) => {
                info!(logger, "removed an unfinished database"; "directory" => leftover.display().to_string())
            }
            Err(error) => warn!(logger, "cannot remove an unfinished database";
                "directory" => leftover.display().to_string(), "error" => error.to_string()),
        }
    }
}

/// Writes `postgresql.conf`, whole, at each start. What an operator sets with `ALTER SYSTEM` is kept by PostgreSQL in a
/// file of its own and wins, except over the socket's place.
///
/// # Errors
/// [`Error::Configuration`] when the file cannot be written.
pub(super) fn write_configuration(place: &DataDirectory, durable: bool) -> Result<()> {
    place.write_server_file(&place.cluster.join("postgresql.conf"), &postgresql_conf(durable))
}

/// Writes `pg_hba.conf`. A server that runs already has to be told to read it again.
///
/// There are lines for the socket alone, whose directory keeps other system users out (see [`super::place`]), and none for
/// the network.
///
/// # Errors
/// [`Error::Configuration`] when the file cannot be written.
pub(super) fn write_access(place: &DataDirectory, superuser: SuperuserAccess) -> Result<()> {
    let mut lines = format!(
        "# Written by Aval at each start. Access is governed by the mode of the socket's directory.\n\
         local {DATABASE} {},{} trust\n",
        roles::OWNER,
        roles::SERVER
    );
    if superuser == SuperuserAccess::Allowed {
        lines.push_str("local all all trust\n");
    }
    place.write_server_file(&place.cluster.join("pg_hba.conf"), &lines)
}

/// The settings, sized for a small machine that Aval shares. The server's log leaves out statements and details,
/// because both can repeat personal data.
fn postgresql_conf(durable: bool) -> String {
    let durability = if durable { "on" } else { "off" };
    format!(
        "# Written by Aval at each start; use ALTER SYSTEM for settings of your own.\n\
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

/// A PostgreSQL program, run as `user` and away from the working directory, which that user may not be allowed to read.
pub(super) fn server_command(program: &Path, user: Option<ServerUser>) -> Command {
    let mut command = clean_command(program);
    command.current_dir("/").stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// A program whose environment holds [`PASSED_ON`] and nothing else of Aval's own.
pub(super) fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env(LOCALE.0, LOCALE.1);
    command.envs(PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}
