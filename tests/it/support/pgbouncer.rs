//! PgBouncer in transaction mode: one for a single test, or one that all tests share (`AVAL_TEST_POOLER=1`).
//!
//! Several versions may be installed: the system's package and, if that is older than 1.21, a newer one that
//! `scripts/install-missing.sh for-tests` has built.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::db::Server;
use super::eventually;
use super::process::free_port;
use super::system_user::SystemUser;

/// The port of the shared pooler. It appears only in the name of the pooler's Unix socket.
const SHARED_PORT: u16 = 6432;
/// The user who may give commands in the console of the shared pooler.
const ADMIN: &str = "operator";
/// The number of server sessions per database. A test has more clients than that, so clients share sessions.
const POOL_SIZE: u16 = 8;

/// An installed PgBouncer.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    /// The version, such as `1.18.0`.
    pub(crate) version: String,
}

impl Program {
    /// The program at `path`, if it exists.
    fn at(path: &Path) -> Option<Self> {
        let printed = Command::new(path).arg("--version").output().ok()?;
        let printed = String::from_utf8(printed.stdout).unwrap();
        let version = printed.split_whitespace().nth(1)?.to_owned();
        Some(Self { path: path.to_owned(), version })
    }

    /// The installed programs, one of each version.
    pub(crate) fn installed() -> Vec<Self> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&folders).chain(["/usr/sbin".into(), built_folder()]);
        let mut found: Vec<Self> = folders.filter_map(|folder| Self::at(&folder.join("pgbouncer"))).collect();
        found.sort_by(|a, b| (&a.version, &a.path).cmp(&(&b.version, &b.path)));
        found.dedup_by(|a, b| a.version == b.version);
        found
    }

    /// An installed program that supports prepared statements.
    pub(crate) fn current() -> Self {
        let mut installed = Self::installed();
        installed.retain(Self::has_prepared_statements);
        installed.pop().expect("PgBouncer 1.21 or later (scripts/install-missing.sh for-tests installs it)")
    }

    /// Whether this version supports prepared statements.
    pub(crate) fn has_prepared_statements(&self) -> bool {
        let mut numbers = self.version.split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (1, 21)
    }
}

/// The directory in which `scripts/install-missing.sh` puts a PgBouncer that it has built.
fn built_folder() -> PathBuf {
    if nix::unistd::Uid::effective().is_root() {
        return "/var/cache/aval/bin".into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("aval/bin")
}

/// A running pooler in front of the shared test server.
pub(crate) struct PgBouncer {
    _home: TempDir,
    port: u16,
    child: Child,
}

impl PgBouncer {
    /// Starts a PgBouncer whose users may connect to its console.
    pub(crate) async fn start(program: &Program, server: &Server, more: &str) -> Self {
        Self::start_with(program, server, &format!("auth_type = any\n{more}")).await
    }

    /// Starts a PgBouncer whose console rejects the application's user.
    pub(crate) async fn start_with_closed_console(program: &Program, server: &Server, more: &str) -> Self {
        Self::start_with(program, server, &format!("auth_type = trust\nauth_file = users.txt\n{more}")).await
    }

    async fn start_with(program: &Program, server: &Server, more: &str) -> Self {
        let (user, port) = (SystemUser::for_servers(), free_port());
        let home = user.folder();
        fs::write(home.path().join("users.txt"), "\"aval\" \"\"\n").unwrap();
        let listening = format!("listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n{more}");
        let child = spawn(program, home.path(), &server.socket, &listening);
        let pooler = Self { _home: home, port, child };
        eventually("PgBouncer to listen", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
        pooler
    }

    /// The URL of a database for connections through the pooler.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://aval@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a pooler for the server at `socket`, with its files in `folder`.
fn spawn(program: &Program, folder: &Path, socket: &Path, more: &str) -> Child {
    let settings = format!(
        "[databases]\n* = host={} port=5432 user=aval\n[pgbouncer]\npool_mode = transaction\n\
         default_pool_size = {POOL_SIZE}\nmax_client_conn = 900\nignore_startup_parameters = extra_float_digits\n{more}\n",
        socket.display()
    );
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, settings).unwrap();
    SystemUser::for_servers()
        .command(&program.path, folder)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn shared_folder(home: &Path) -> PathBuf {
    home.join("pooler")
}

/// The socket of the shared pooler.
pub(crate) fn shared_socket_file(home: &Path) -> PathBuf {
    shared_folder(home).join(format!(".s.PGSQL.{SHARED_PORT}"))
}

/// The URL of a database through the shared pooler.
pub(crate) fn shared_url(home: &Path, database: &str) -> String {
    let folder = shared_folder(home);
    format!("postgresql:///{database}?user=aval&host={}&port={SHARED_PORT}", folder.display())
}

/// Has the shared pooler replace its server sessions for a database as soon as they are free.
pub(crate) async fn reconnect(home: &Path, database: &str) {
    let (console, connection) = tokio_postgres::Config::new()
        .host_path(shared_folder(home))
        .port(SHARED_PORT)
        .user(ADMIN)
        .dbname("pgbouncer")
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    let driver = actix_rt::spawn(connection);
    console.simple_query(&format!("RECONNECT {database}")).await.unwrap();
    drop(console);
    driver.await.unwrap().unwrap();
}

/// Starts the shared pooler for the server at `socket` unless it is running, and returns its process id. It outlives this
/// process.
#[expect(clippy::zombie_processes, reason = "it must outlive this process")]
pub(crate) async fn start_shared(socket: &Path, home: &Path) -> i32 {
    let folder = shared_folder(home);
    SystemUser::for_servers().make_folder(&folder);
    let pid_file = folder.join("pgbouncer.pid");
    let connects = || UnixStream::connect(shared_socket_file(home)).is_ok();
    if !connects() {
        let listening = format!(
            "auth_type = any\nadmin_users = {ADMIN}\nlisten_addr =\nlisten_port = {SHARED_PORT}\nunix_socket_dir = {}\npidfile = {}\n\
             logfile = {}",
            folder.display(),
            pid_file.display(),
            folder.join("pgbouncer.log").display()
        );
        spawn(&Program::current(), &folder, socket, &listening);
        eventually("PgBouncer to listen", async || connects().then_some(())).await;
    }
    let pid = fs::read_to_string(pid_file).unwrap();
    pid.trim().parse().unwrap()
}
