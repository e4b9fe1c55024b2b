//! A Redis or Valkey server for one test, without persistence, on a Unix socket. It is killed when the test's process ends,
//! even if the test panics or is killed.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A shell script that runs the server until the script's standard input is closed, which happens when the test's
/// process ends.
const WATCHDOG: &str =
    r#""$@" > /dev/null 2>&1 < /dev/null & server=$!; echo "$server"; read -r _; kill -9 "$server""#;

pub(crate) struct RedisServer {
    home: tempfile::TempDir,
    port: u16,
    /// The certificate and its key. If they are set, the port accepts only TLS.
    tls: Option<(PathBuf, PathBuf)>,
    program: PathBuf,
    /// The eviction policy.
    policy: &'static str,
    running: Option<Running>,
}

struct Running {
    watchdog: Child,
    pid: Pid,
}

impl RedisServer {
    /// Starts a server that only listens on its Unix socket.
    pub(crate) fn start() -> Self {
        Self::start_at(0, None)
    }

    /// Starts a server that also listens on a loopback port, for a proxy.
    pub(crate) fn start_with_port() -> Self {
        Self::start_at(free_port(), None)
    }

    /// Like [`Self::start_with_port`], with TLS 1.2 and no newer version.
    pub(crate) fn start_with_tls_1_2(certificate: PathBuf, key: PathBuf) -> Self {
        Self::start_at(free_port(), Some((certificate, key)))
    }

    /// Starts a Valkey server, which `scripts/install-missing.sh for-tests` installs.
    pub(crate) fn start_valkey() -> Self {
        let mut server = Self::stopped(0, None);
        server.program = valkey();
        server.restart();
        server
    }

    /// A server that is not running yet.
    pub(crate) fn stopped(port: u16, tls: Option<(PathBuf, PathBuf)>) -> Self {
        let (home, program) = (tempfile::tempdir().unwrap(), PathBuf::from("redis-server"));
        Self { home, port, tls, program, policy: "noeviction", running: None }
    }

    fn start_at(port: u16, tls: Option<(PathBuf, PathBuf)>) -> Self {
        let mut server = Self::stopped(port, tls);
        server.restart();
        server
    }

    /// Starts the server with an eviction policy.
    pub(crate) fn restart_with_policy(&mut self, policy: &'static str) {
        self.kill();
        self.policy = policy;
        self.restart();
    }

    /// The value for `REDIS_URL`: with the port if the server listens on one, otherwise with the Unix socket.
    pub(crate) fn url(&self) -> String {
        match (self.port(), &self.tls) {
            (0, _) => self.socket_url(),
            (port, None) => format!("redis://127.0.0.1:{port}/0"),
            (port, Some(_)) => format!("rediss://127.0.0.1:{port}/0"),
        }
    }

    fn socket_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The loopback port; 0 without one.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts an empty server unless one is running, and waits until it responds.
    pub(crate) fn restart(&mut self) {
        if self.running.is_none() {
            self.running = Some(self.spawn());
        }
        let deadline = Instant::now() + START_TIMEOUT;
        while self.try_connect().is_none() {
            assert!(Instant::now() < deadline, "redis-server does not respond");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn spawn(&self) -> Running {
        let socket = self.socket();
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&self.program)
            .args(["--bind", "127.0.0.1", "--maxmemory-policy", self.policy])
            .args(self.port_arguments())
            .arg("--unixsocket")
            .arg(&socket)
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(watchdog.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        Running { watchdog, pid: Pid::from_raw(pid.trim().parse().unwrap()) }
    }

    fn port_arguments(&self) -> Vec<OsString> {
        let port = self.port.to_string();
        match &self.tls {
            None => vec!["--port".into(), port.into()],
            Some((certificate, key)) => vec![
                "--port".into(),
                "0".into(),
                "--tls-port".into(),
                port.into(),
                "--tls-cert-file".into(),
                certificate.into(),
                "--tls-key-file".into(),
                key.into(),
                "--tls-auth-clients".into(),
                "no".into(),
                "--tls-protocols".into(),
                "TLSv1.2".into(),
            ],
        }
    }

    /// Kills the server with SIGKILL. Its data is lost.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = kill(running.pid, Signal::SIGKILL);
            drop(running.watchdog.stdin.take());
            running.watchdog.wait().unwrap();
        }
    }

    /// Suspends the server: connections stay open without responses.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Resumes the server after [`RedisServer::pause`].
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(self.running.as_ref().unwrap().pid, signal).unwrap();
    }

    /// Deletes all data.
    pub(crate) fn flush(&self) {
        let _: () = ::redis::cmd("FLUSHALL").query(&mut self.connection()).unwrap();
    }

    /// A connection for commands of the test itself.
    pub(crate) fn connection(&self) -> ::redis::Connection {
        self.try_connect().expect("redis-server must respond")
    }

    fn try_connect(&self) -> Option<::redis::Connection> {
        let mut connection = ::redis::Client::open(self.socket_url()).unwrap().get_connection().ok()?;
        ::redis::cmd("PING").query::<String>(&mut connection).ok()?;
        Some(connection)
    }

    /// All keys and values, concatenated.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let mut connection = self.connection();
        let keys: Vec<Vec<u8>> = ::redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        let mut all = Vec::new();
        for key in keys {
            let value: Vec<u8> = match ::redis::cmd("TYPE")
                .arg(&key)
                .query::<String>(&mut connection)
                .unwrap()
                .as_str()
            {
                "string" => ::redis::cmd("GET").arg(&key).query(&mut connection).unwrap(),
                "hash" => flat(&::redis::cmd("HGETALL").arg(&key).query(&mut connection).unwrap()),
                "stream" => {
                    let entries: ::redis::Value =
                        ::redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(&mut connection).unwrap();
                    flat(&entries)
                }
                other => panic!("unknown type {other}"),
            };
            all.extend(key);
            all.extend(value);
        }
        all
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("redis.sock")
    }
}

/// The program of the Valkey server.
fn valkey() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let program = cache.join("aval/valkey-9.1.2/valkey-server");
    assert!(program.exists(), "{} is missing; run scripts/install-missing.sh for-tests", program.display());
    program
}

fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    free.local_addr().unwrap().port()
}

fn flat(value: &::redis::Value) -> Vec<u8> {
    match value {
        ::redis::Value::BulkString(bytes) => bytes.clone(),
        ::redis::Value::Array(values) => values.iter().flat_map(flat).collect(),
        other => format!("{other:?}").into_bytes(),
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
