//! A PostgreSQL server with a streaming replica, for one test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::db::execute;
use super::eventually;
use super::system_user::{SystemUser, postgres_program};

/// The primary and its standby.
pub(crate) struct Replicated {
    home: TempDir,
    running: Vec<Child>,
}

impl Replicated {
    /// Starts both servers, with a migrated database.
    pub(crate) async fn start() -> Self {
        let user = SystemUser::for_servers();
        let home = user.folder();
        let path = home.path().to_owned();
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let data = ["--username=aval", "--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync", "-D"];
        run(user.command(&postgres_program("initdb"), &path).args(data).arg("primary"));
        let mut servers = Self { home, running: Vec::new() };
        servers.serve(user, "primary");
        let maintenance = servers.primary_url().replacen("/aval?", "/postgres?", 1);
        let mut admin = eventually("the primary", async || try_connect(&maintenance).await).await;
        execute(&mut admin, "CREATE DATABASE aval").await.unwrap();
        aval::storage::migrations::run_pending(&servers.primary_url()).await.unwrap();
        let primary = path.join("primary.socket");
        let mut backup = user.command(&postgres_program("pg_basebackup"), &path);
        backup.args(["-U", "aval", "-c", "fast", "-X", "stream", "-R", "--no-sync", "-D", "standby", "-h"]);
        run(backup.arg(&primary));
        servers.serve(user, "standby");
        let standby = servers.standby_url();
        eventually("the standby", async || try_connect(&standby).await).await;
        servers
    }

    fn serve(&mut self, user: SystemUser, name: &str) {
        let socket = self.home.path().join(format!("{name}.socket"));
        let created = user.command("mkdir".as_ref(), self.home.path()).arg(&socket).status().unwrap();
        assert!(created.success());
        let settings = [
            format!("unix_socket_directories={}", socket.display()),
            "listen_addresses=".to_owned(),
            "fsync=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "max_connections=60".to_owned(),
        ];
        let child = user
            .command(&postgres_program("postgres"), self.home.path())
            .args(["-D", name])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.running.push(child);
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.socket"))
    }

    fn url(&self, name: &str) -> String {
        format!("postgresql:///aval?user=aval&host={}", self.socket(name).display())
    }

    pub(crate) fn primary_url(&self) -> String {
        self.url("primary")
    }

    pub(crate) fn standby_url(&self) -> String {
        self.url("standby")
    }

    pub(crate) fn standby_socket(&self) -> PathBuf {
        self.socket("standby").join(".s.PGSQL.5432")
    }
}

async fn try_connect(url: &str) -> Option<diesel_async::AsyncPgConnection> {
    use diesel_async::AsyncConnection as _;

    diesel_async::AsyncPgConnection::establish(url).await.ok()
}

impl Drop for Replicated {
    /// Stops both servers immediately, despite open connections.
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGQUIT);
            let _ = child.wait();
        }
    }
}
