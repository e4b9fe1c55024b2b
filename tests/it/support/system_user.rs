//! Runs servers as an unprivileged user, because PostgreSQL and PgBouncer refuse to run as root.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User, chown};

/// An unprivileged user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemUser {
    uid: u32,
    gid: u32,
}

impl SystemUser {
    /// The user that servers run as: the user of this process or, if that is root, `postgres` or `nobody`.
    pub(crate) fn for_servers() -> Self {
        let own = std::fs::metadata("/proc/self").unwrap();
        if own.uid() != 0 {
            return Self { uid: own.uid(), gid: own.gid() };
        }
        let user_named = |name| User::from_name(name).ok().flatten();
        let user = user_named("postgres").or_else(|| user_named("nobody")).expect("a user that is not root");
        Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }

    /// Creates a temporary folder that this user owns.
    pub(crate) fn folder(self) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("aval-test").tempdir_in("/tmp").unwrap();
        chown(folder.path(), Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid))).unwrap();
        folder
    }

    /// Creates a folder that this user owns, unless it exists.
    pub(crate) fn make_folder(self, path: &Path) {
        std::fs::create_dir_all(path).unwrap();
        chown(path, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid))).unwrap();
    }

    /// A command that runs `program` as this user, in `folder`.
    pub(crate) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.uid(self.uid).gid(self.gid).current_dir(folder);
        command
    }
}

/// The path of one of PostgreSQL's server programs.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    let folder = super::db::program_folder().unwrap_or_else(|| {
        let bin_folder = |entry: std::fs::DirEntry| entry.path().join("bin");
        let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(bin_folder)
            .collect();
        found.sort();
        found.pop().unwrap_or_else(|| {
            let printed = Command::new("pg_config").arg("--bindir").output().unwrap();
            PathBuf::from(String::from_utf8(printed.stdout).unwrap().trim())
        })
    });
    folder.join(name)
}
