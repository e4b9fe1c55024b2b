//! One running PostgreSQL server: started by us, or left behind by an Aval that was killed and adopted.
//!
//! PostgreSQL writes who serves a directory into its `postmaster.pid`. After a `kill -9` that file may name a
//! process that is gone, or by now something else entirely; then it is stale. Even if Aval judged wrongly, no
//! second server could get at the files: PostgreSQL holds a shared memory segment that is keyed by the directory
//! and refuses to start while any process is attached to it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use super::cluster::server_command;
use super::installation::Installation;
use super::place::{DataDirectory, remove_if_there, unusable};
use crate::error::{Error, Result};

/// How often an adopted server, which is not our child, is looked at.
const ADOPTED_CHECK: Duration = Duration::from_millis(200);

/// The log is put aside at start when it has grown beyond this many bytes.
const LOG_KEPT_BYTES: u64 = 8 * 1024 * 1024;

/// How much of the log an error repeats.
const LOG_TAIL_LINES: usize = 12;

/// A running server process.
#[derive(Debug)]
pub(super) struct Postmaster {
    /// Its process id.
    pub(super) pid: Pid,
    /// The directory of its socket.
    pub(super) socket_dir: PathBuf,
    cluster: PathBuf,
    /// How it ended, once it has.
    ended: watch::Receiver<Option<String>>,
}

impl Postmaster {
    /// The server that serves `cluster` already, if there is one. A stale `postmaster.pid` is removed.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the stale file cannot be removed.
    pub(super) fn running(place: &DataDirectory) -> Result<Option<Self>> {
        let cluster = &place.cluster;
        let path = cluster.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let recorded = PidFile::parse(&text).filter(|file| serves(file.pid, cluster));
        let Some(PidFile { pid, socket_dir }) = recorded else {
            remove_if_there(&path).map_err(|e| unusable(&path, &e))?;
            return Ok(None);
        };
        let (tell, ended) = watch::channel(None);
        let watched = cluster.clone();
        tokio::spawn(async move {
            let mut check = tokio::time::interval(ADOPTED_CHECK);
            while serves(pid, &watched) {
                check.tick().await;
            }
            tell.send_replace(Some("gone".to_owned()));
        });
        // One that has only just started has not written its socket yet; it was told to put it where we would.
        let socket_dir = socket_dir.unwrap_or_else(|| place.socket_dir.clone());
        Ok(Some(Self { pid, socket_dir, cluster: cluster.clone(), ended }))
    }

    /// The socket directory of the server that serves `cluster`, if there is one. Looks, and touches nothing.
    pub(super) fn socket_of(cluster: &Path) -> Option<PathBuf> {
        let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        let recorded = PidFile::parse(&text).filter(|file| serves(file.pid, cluster))?;
        recorded.socket_dir
    }

    /// Starts a server, in a process group of its own: a Ctrl-C in the terminal reaches Aval alone, which stops the
    /// server when it has drained.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the program cannot be started.
    pub(super) fn spawn(place: &DataDirectory, installation: &Installation) -> Result<Self> {
        let failed =
            |e: std::io::Error| Error::unavailable("embedded PostgreSQL", format!("did not start: {e}"));
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
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            let how = match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            tell.send_replace(Some(how));
        });
        Ok(Self { pid, socket_dir: place.socket_dir.clone(), cluster: place.cluster.clone(), ended })
    }

    /// How it ended, when it has.
    pub(super) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Waits until it has ended, and says how.
    pub(super) async fn wait(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            Err(_closed) => "its watcher ended".to_owned(),
        }
    }

    /// Sends a signal, unless the process is no longer this server.
    pub(super) fn signal(&self, signal: Signal) {
        if serves(self.pid, &self.cluster) {
            // It may end between the look and the signal; that is what the signal wants anyway.
            let _ended_meanwhile = kill(self.pid, signal);
        }
    }
}

/// The lines of `postmaster.pid` that matter here (PostgreSQL, `src/include/utils/pidfile.h`): the first is the
/// process, the fifth the first socket directory.
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

/// Whether the process is a PostgreSQL server that was started on `cluster`. Its own children rename themselves, so
/// their command lines do not hold the directory.
fn serves(pid: Pid, cluster: &Path) -> bool {
    let Some(arguments) = command_line(pid) else { return false };
    let mut arguments = arguments.into_iter();
    let is_postgres = arguments
        .next()
        .is_some_and(|program| matches!(program.rsplit('/').next(), Some("postgres" | "postmaster")));
    is_postgres && arguments.any(|argument| Path::new(&argument) == cluster)
}

/// The command line of a process; `None` when there is no such process, or it has ended and was not yet collected.
#[cfg(target_os = "linux")]
fn command_line(pid: Pid) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect())
}

/// The command line of a process, as far as `ps` tells it: a directory with a space in its name is not recognised.
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

/// How long the log is now; an error later repeats only what came after.
pub(super) fn log_length(log_file: &Path) -> u64 {
    fs::metadata(log_file).map_or(0, |found| found.len())
}

/// The last lines that the server printed after the log had `from` bytes.
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

/// Puts a log that has grown long aside, so that a machine that runs for years keeps two of bounded size.
pub(super) fn rotate_log(log_file: &Path) -> Result<()> {
    if log_length(log_file) > LOG_KEPT_BYTES {
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
    fn the_pid_file_gives_the_process_and_its_socket() {
        let text = "4711\n/srv/aval/postgres\n1700000000\n5432\n/tmp/aval-1\n\n  1234567\nready   \n";
        let expected = PidFile { pid: Pid::from_raw(4711), socket_dir: Some(PathBuf::from("/tmp/aval-1")) };
        assert_eq!(PidFile::parse(text), Some(expected));
    }

    #[test]
    fn a_pid_file_that_names_no_process_or_every_process_is_stale() {
        for text in ["", "\n", "nonsense\n", "0\n", "-1\n", "1\n"] {
            assert_eq!(PidFile::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_process_that_is_not_postgres_serves_nothing() {
        let own = Pid::this();
        let argument = std::env::args().next().unwrap();
        assert!(!serves(own, Path::new(&argument)));
    }

    #[test]
    fn the_log_tail_holds_the_last_lines_of_this_start_only() {
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
