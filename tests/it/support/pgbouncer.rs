//! A PgBouncer in transaction mode for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::db::Server;
use super::eventually;
use super::process::free_port;
use super::system_user::SystemUser;

/// A running pooler in front of the shared test server.
pub(crate) struct PgBouncer {
    _home: TempDir,
    port: u16,
    version: (u32, u32),
    child: Child,
}

fn program() -> PathBuf {
    let debian_path = Path::new("/usr/sbin/pgbouncer");
    if debian_path.exists() { debian_path.to_owned() } else { "pgbouncer".into() }
}

/// The first two numbers in the output of `pgbouncer --version`.
fn version() -> (u32, u32) {
    let printed = Command::new(program()).arg("--version").output().expect("PgBouncer is installed");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let dotted = printed.split_whitespace().nth(1).unwrap_or_default();
    let mut numbers = dotted.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl PgBouncer {
    pub(crate) async fn start(server: &Server) -> Self {
        let (user, port, version) = (SystemUser::for_servers(), free_port(), version());
        let home = user.folder();
        let prepared = if version >= (1, 21) { "max_prepared_statements = 200\n" } else { "" };
        let settings = format!(
            "[databases]\n* = host={} port=5432 user=aval\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 8\n{prepared}",
            server.socket.display()
        );
        let file = home.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        let child = user
            .command(&program(), home.path())
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self { _home: home, port, version, child };
        eventually("PgBouncer to listen", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
        pooler
    }

    /// Whether this version supports prepared statements.
    pub(crate) fn has_prepared_statements(&self) -> bool {
        self.version >= (1, 21)
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
