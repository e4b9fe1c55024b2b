//! A private PostgreSQL that is killed or whose disk is full.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aval::embedded::{EmbeddedPostgres, EmbeddedSettings};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::{heal_and_check, rounds, seed, start_workload};
use crate::support::db::{Server, execute};
use crate::support::{PATIENCE, eventually, pace};

/// The size of the disk: enough for a new database cluster, its log and little else.
const DISK_MIB: u32 = 256;
/// How long the disk stays full.
const FULL_FOR: Duration = Duration::from_secs(3);

/// A PostgreSQL server that is restarted when it ends, as Aval restarts its private one.
struct PrivatePostgres {
    directory: PathBuf,
    stop: CancellationToken,
    supervised: actix_rt::task::JoinHandle<aval::error::Result<()>>,
}

impl PrivatePostgres {
    async fn start(root: &Path) -> (Self, Server) {
        let settings = EmbeddedSettings {
            start_timeout: PATIENCE,
            superuser_connects: true,
            fallback_dir: root.join("fallback"),
            ..EmbeddedSettings::new(root.join("data"))
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let postgres = EmbeddedPostgres::start(settings, logger).await.unwrap();
        let directory = postgres.directory().to_path_buf();
        let socket = postgres.database_url().split("host=").nth(1).unwrap().split('&').next().unwrap().into();
        let stop = CancellationToken::new();
        let supervised = actix_rt::spawn(postgres.supervise(stop.clone().cancelled_owned()));
        let server = Server { socket, database: "aval".to_owned() };
        (Self { directory, stop, supervised }, server)
    }

    /// The process id of the running server.
    fn pid(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.directory.join("postmaster.pid")).ok()?;
        Some(Pid::from_raw(file.lines().next()?.parse().ok()?))
    }

    async fn stop(self) {
        self.stop.cancel();
        self.supervised.await.unwrap().unwrap();
    }
}

fn open_dir() -> TempDir {
    tempfile::Builder::new().prefix("aval-it-").permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

#[actix_rt::test]
async fn nothing_is_lost_when_postgresql_is_killed() {
    for round in 0..rounds() {
        let seed = seed(round);
        let root = open_dir();
        let (postgres, server) = PrivatePostgres::start(root.path()).await;
        let mut cluster = Cluster::start(server, 2).await;
        let workload = start_workload(&cluster, seed).await;
        let killed = postgres.pid().unwrap();
        kill(killed, Signal::SIGKILL).unwrap();
        eventually("another PostgreSQL", async || postgres.pid().filter(|pid| *pid != killed)).await;
        heal_and_check("`kill -9` of PostgreSQL, and its restart", seed, &mut cluster, workload, false).await;
        drop(cluster);
        postgres.stop().await;
    }
}

/// An in-memory file system of [`DISK_MIB`].
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Returns `None` if this process may not mount file systems.
    fn mount() -> Option<Self> {
        let folder = open_dir();
        let options = format!("size={DISK_MIB}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self { folder })
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    /// Fills the remaining space.
    fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).unwrap();
        let block = vec![0; 64 << 10];
        while filler.write_all(&block).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

#[actix_rt::test]
async fn nothing_is_lost_when_the_databases_disk_is_full() {
    for round in 0..rounds() {
        match SmallDisk::mount() {
            Some(disk) => survive_a_full_disk(disk, seed(round)).await,
            None => survive_a_read_only_database(seed(round)).await,
        }
    }
}

async fn survive_a_full_disk(disk: SmallDisk, seed: u64) {
    let (postgres, server) = PrivatePostgres::start(disk.folder.path()).await;
    let mut cluster = Cluster::start(server, 2).await;
    let workload = start_workload(&cluster, seed).await;
    disk.fill();
    pace(FULL_FOR).await;
    disk.empty();
    heal_and_check("a full disk of the database", seed, &mut cluster, workload, false).await;
    drop(cluster);
    postgres.stop().await;
}

/// Replaces [`survive_a_full_disk`] where no file system can be mounted.
async fn survive_a_read_only_database(seed: u64) {
    let root = open_dir();
    let (postgres, server) = PrivatePostgres::start(root.path()).await;
    let mut cluster = Cluster::start(server, 2).await;
    let workload = start_workload(&cluster, seed).await;
    let mut sql = cluster.sql().await;
    for statement in ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"] {
        execute(&mut sql, statement).await.unwrap();
    }
    pace(FULL_FOR).await;
    for statement in ["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"] {
        execute(&mut sql, statement).await.unwrap();
    }
    heal_and_check("a read-only database", seed, &mut cluster, workload, false).await;
    drop(cluster);
    postgres.stop().await;
}
