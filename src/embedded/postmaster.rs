//! A running PostgreSQL server: started by this process, or left running by a killed one and adopted.
//!
//! PostgreSQL records the server of a cluster in `postmaster.pid`. After a `kill -9` the file may name a process that
//! no longer exists, or an unrelated one; it is then stale. Even if Aval removes a file that is not stale, no second server
//! can start: PostgreSQL's shared memory segment is keyed by the directory, and PostgreSQL does not start while a process
//! is attached to it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use super::installation::Installation;
use super::place::{DataDirectory, remove_if_there, unusable};
use super::program::server_command;
use crate::error::{Error, Result};

/// Interval at which an adopted server, which is not a child process, is checked.
const ADOPTED_CHECK: Duration = Duration::from_millis(200);

/// Size of the log above which it is rotated at startup.
const MAX_LOG_BYTES: u64 = 8 * 1024 * 1024;

/// Lines of the log that an error includes.
const LOG_TAIL_LINES: usize = 12;

/// A running server process.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub(super) pid: Pid,
    /// Directory of the server's socket.
    pub(super) socket_dir: PathBuf,
    cluster: PathBuf,
    /// How the server ended, once it has: its exit status, or a text if an adopted server's process no longer exists.
    ended: watch::Receiver<Option<String>>,
}

impl Postmaster {
    /// The running server of the cluster, if any. Removes a stale `postmaster.pid`.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the stale file cannot be removed.
    pub(super) fn running(place: &DataDirectory) -> Result<Option<Self>> {
        let cluster = &place.cluster;
        let path = cluster.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let recorded = PidFile::parse(&text).filter(|file| serves(file.pid, cluster));
        let Some(PidFile { pid, socket_dir }) = recorded else {
            remove_if_there(&path).map_err(|e| unusable(&path, &e))?;
            return Ok(None);
        };
        let (report_end, ended) = watch::channel(None);
        let watched = cluster.clone();
        tokio::spawn(async move {
            let mut check = tokio::time::interval(ADOPTED_CHECK);
            while serves(pid, &watched) {
                check.tick().await;
            }
            report_end.send_replace(Some("it no longer exists".to_owned()));
        });
        // A server that has just started has not written its socket directory yet. It was started with the socket
        // directory of `place`.
        let socket_dir = socket_dir.unwrap_or_else(|| place.socket_dir.clone());
        Ok(Some(Self { pid, socket_dir, cluster: cluster.clone(), ended }))
    }

    /// The socket directory of the running server of `cluster`, if any. Read-only.
    pub(super) fn socket_of(cluster: &Path) -> Option<PathBuf> {
        let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        let recorded = PidFile::parse(&text).filter(|file| serves(file.pid, cluster))?;
        recorded.socket_dir
    }

    /// Starts a server in its own process group: Ctrl-C in a terminal reaches only Aval, which stops the server after
    /// draining.
    pub(super) fn spawn(place: &DataDirectory, installation: &Installation) -> Result<Self> {
        let failed =
            |e: std::io::Error| Error::unavailable("private PostgreSQL", format!("did not start: {e}"));
        let log = open_log(&place.log_file)?;
        let mut command = server_command(&installation.program("postgres"), place.server_user);
        let mut child = command
            .arg("-D")
            .arg(&place.cluster)
            .args(["-p", "5432", "-c", "listen_addresses=", "-k"])
            .arg(&place.socket_dir)
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw)
            .ok_or_else(|| Error::internal("a child process without a usable process id"))?;
        let (report_end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let exit_status = match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            report_end.send_replace(Some(exit_status));
        });
        Ok(Self { pid, socket_dir: place.socket_dir.clone(), cluster: place.cluster.clone(), ended })
    }

    /// How the server ended, if it has.
    pub(super) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Waits until the server has ended and returns how it ended.
    pub(super) async fn wait(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(exit_status) => exit_status.clone().unwrap_or_default(),
            Err(_closed) => "unknown exit status".to_owned(),
        }
    }

    /// Sends a signal unless the process is no longer this server.
    pub(super) fn signal(&self, signal: Signal) {
        if serves(self.pid, &self.cluster) {
            // The server may end before the signal arrives, which is the intended effect anyway.
            let _ended_meanwhile = kill(self.pid, signal);
        }
    }
}

/// The lines of `postmaster.pid` that Aval uses (PostgreSQL, `src/include/utils/pidfile.h`): the first is the process
/// id, the fifth the first socket directory.
#[derive(Debug, PartialEq, Eq)]
struct PidFile {
    pid: Pid,
    socket_dir: Option<PathBuf>,
}

impl PidFile {
    fn parse(text: &str) -> Option<Self> {
        let pid = text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw)?;
        let socket_dir =
            text.lines().nth(4).map(str::trim).filter(|line| !line.is_empty()).map(PathBuf::from);
        Some(Self { pid, socket_dir })
    }
}

/// Whether the process is a PostgreSQL server started for `cluster`. Its child processes do not count: they replace their
/// command line, so it does not contain the directory.
fn serves(pid: Pid, cluster: &Path) -> bool {
    let Some(arguments) = command_line(pid) else { return false };
    let mut arguments = arguments.into_iter();
    let is_postgres = arguments
        .next()
        .is_some_and(|program| matches!(program.rsplit('/').next(), Some("postgres" | "postmaster")));
    is_postgres && arguments.any(|argument| Path::new(&argument) == cluster)
}

/// The command line of a process; `None` if it does not exist or is a zombie.
#[cfg(target_os = "linux")]
fn command_line(pid: Pid) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect())
}

/// The command line of a process according to `ps`. A directory with a space in its name is not recognized.
#[cfg(not(target_os = "linux"))]
fn command_line(pid: Pid) -> Option<Vec<String>> {
    let output = std::process::Command::new("ps")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| line.split_whitespace().map(str::to_owned).collect())
}

/// The current length of the log in bytes. Pass it to [`log_tail`] later to get only what was written in between.
pub(super) fn log_length(log_file: &Path) -> u64 {
    fs::metadata(log_file).map_or(0, |found| found.len())
}

/// The last lines of the log after the first `from` bytes.
pub(super) fn log_tail(log_file: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log_file).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        return format!("(cannot read {}: {error})", log_file.display());
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LOG_TAIL_LINES)).copied().collect::<Vec<_>>().join("\n")
}

/// Rotates a large log. One old log is kept.
pub(super) fn rotate_log(log_file: &Path) -> Result<()> {
    if log_length(log_file) > MAX_LOG_BYTES {
        fs::rename(log_file, log_file.with_extension("log.1")).map_err(|e| unusable(log_file, &e))?;
    }
    Ok(())
}

fn open_log(log_file: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log_file)
        .map_err(|e| unusable(log_file, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_contains_the_process_id_and_the_socket_directory() {
        let text = "4711\n/srv/aval/postgres\n1700000000\n5432\n/tmp/aval-1\n\n  1234567\nready   \n";
        let expected = PidFile { pid: Pid::from_raw(4711), socket_dir: Some(PathBuf::from("/tmp/aval-1")) };
        assert_eq!(PidFile::parse(text), Some(expected));
    }

    #[test]
    fn a_pid_file_without_a_valid_process_id_is_stale() {
        for text in ["", "\n", "nonsense\n", "0\n", "-1\n", "1\n"] {
            assert_eq!(PidFile::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_process_that_is_not_postgres_does_not_serve_a_cluster() {
        let own = Pid::this();
        let argument = std::env::args().next().unwrap();
        assert!(!serves(own, Path::new(&argument)));
    }

    #[test]
    fn the_log_tail_contains_the_last_lines_since_this_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "old\n").unwrap();
        let from = log_length(file.path());
        let lines: String = (0..20).map(|n| format!("line {n}\n")).collect();
        fs::write(file.path(), format!("old\n{lines}")).unwrap();
        let tail = log_tail(file.path(), from);
        assert_eq!(tail.lines().count(), LOG_TAIL_LINES);
        assert!(tail.starts_with("line 8\n") && tail.ends_with("line 19"), "{tail}");
    }
}
