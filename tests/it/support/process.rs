//! Runs the built binary as separate processes, which a test can kill, freeze and stop.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt as _;

use super::eventually;

/// Ports below the range that the system assigns automatically, so a free port stays free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A free port.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::rng().random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A process that runs a subcommand of the binary and serves on a port. It is killed when this value is dropped.
pub(crate) struct ServerProcess {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    port: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl ServerProcess {
    /// A process that has not been started. It appends its log to the file `log`.
    pub(crate) fn new(arguments: &[&str], variables: &[(&str, &str)], port: u16, log: &Path) -> Self {
        Self {
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            variables: variables
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            port,
            log: log.to_owned(),
            child: None,
        }
    }

    /// The address that the process listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running process").id()
    }

    /// Starts the process without waiting until it accepts requests.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "the process is already running");
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_aval"))
            .args(&self.arguments)
            .envs(&self.variables)
            .env("PORT", self.port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running process");
        eventually("the process to end", async || child.try_wait().unwrap()).await
    }

    /// Whether it is running.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// The content of the log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
